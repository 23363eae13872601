//! The provider changes its keys, is away, is on HTTPS, or has another time.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Plan, ProviderStage};
use crate::support::world::Holds;

/// Most sign-ins until one goes by the new key.
const MOST_ROUNDS: usize = 40;

/// The proxy fetches keys again half a minute after the last time at the earliest.
#[test]
fn keys_are_rotated_at_the_provider() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    stage.sign_in("alice");
    stage.start_provider(json!({ "signing_key": null }));
    let bob = stage.world.user_who_holds("bob", Holds::KeyAlone);
    for round in 0..MOST_ROUNDS {
        let mut waiting = stage.ssh_as(&bob);
        let browser = stage.browser(&format!("bob{round}"));
        let page = browser.sign_in(&waiting.link(), "bob");
        if page.status == 200 {
            waiting.type_code(&page.code());
            return waiting.says_hello();
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("the new key is never fetched");
}

#[test]
fn those_who_are_signed_in_stay_in_while_the_provider_is_away() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let world = &stage.world;
    stage.sign_in("alice");
    let mut session = world.shell();
    let bob = world.user_who_holds("bob", Holds::KeyAlone);
    stage.stop_provider();
    session.type_in("echo still $((40 + 2))\r");
    session.expect("still 42");
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    // What a new process knows of the provider: nothing.
    world.kill_auth();
    let mut waiting = stage.ssh_as(&bob);
    waiting.0.expect("the identity provider 127.0.0.1");
    waiting.0.expect("cannot be reached");
    assert_eq!(waiting.0.finish().0, Some(255));
    stage.start_provider(json!({}));
    // A failure is remembered for a few seconds.
    world.kill_auth();
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    let mut waiting = stage.ssh_as(&bob);
    let page = stage.browser("bob").sign_in(&waiting.link(), "bob");
    waiting.type_code(&page.code());
    waiting.says_hello();
}

/// The provider goes away between the link and the code.
#[test]
fn a_provider_that_is_away_when_the_browser_comes_back_is_told_of() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let mut waiting = stage.ssh();
    let browser = stage.browser("alice");
    let callback = browser.callback(&waiting.link(), "alice");
    stage.stop_provider();
    browser
        .get(&callback)
        .reads_the_refusal("cannot be reached");
    waiting.type_code("0000-0000");
    waiting.0.expect("The browser shows no code");
}

#[test]
fn a_provider_with_another_time_is_told_of_with_the_difference() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    stage.start_provider_wrong_by(300);
    let mut waiting = stage.ssh();
    let page = stage.browser("alice").sign_in(&waiting.link(), "alice");
    page.reads_the_refusal("clock is ");
    let page = page.html.replace("&#39;", "'");
    let is_told = ["5m", "4m59s", "5m1s"].iter().any(|time| {
        page.contains(&format!(
            "the proxy's clock is {time} behind the identity provider's"
        ))
    });
    assert!(is_told, "{page}");
}

#[test]
fn a_provider_on_https_is_trusted_by_ca_file_alone() {
    let plan = |trusts: bool| Plan {
        https: true,
        trusts,
        ..Plan::default()
    };
    let Some(stage) = ProviderStage::with(plan(true)) else {
        return;
    };
    stage.sign_in("alice");
    drop(stage);
    let Some(stage) = ProviderStage::with(plan(false)) else {
        return;
    };
    stage
        .ssh()
        .reads_the_refusal("does not trust the certificate of the identity provider");
}

/// The doctor asks the provider in the same way as the auth process does.
#[test]
fn the_doctor_tells_how_the_provider_is() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let found = || {
        let mut doctor = stage.world.rproxy();
        let output = doctor
            .args(["doctor", "--format", "json"])
            .output()
            .unwrap();
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        ["provider", "provider-clock"].map(|check| {
            let finding = all.iter().find(|one| one["check"] == check)?;
            Some(finding["status"].as_str().unwrap().to_owned())
        })
    };
    let is = |status: &str| Some(status.to_owned());
    assert_eq!(found(), [is("ok"), is("ok")]);
    stage.start_provider_wrong_by(-300);
    assert_eq!(found(), [is("ok"), is("error")]);
    stage.stop_provider();
    assert_eq!(found(), [is("error"), None]);
}
