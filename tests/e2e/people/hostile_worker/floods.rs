//! As much as a worker can ask: others are served meanwhile and afterwards, and neither the disk nor the
//! memory is filled.

use std::time::Duration;

use rproxy::ipc::{CallError, CallRefusal, PeopleAnswer, PeopleQuestion, SigningRequest};
use serde_json::Value;

use super::scene::Scene;
use crate::support::taken_worker::{questions, refused};

/// How often an event of this name is in the log, with this field.
fn count(events: &[Value], name: &str, field: &str, is: &str) -> u64 {
    let found = events
        .iter()
        .filter(|event| event["event"] == name && event[field] == is);
    found
        .map(|event| event["count"].as_u64().unwrap_or(1))
        .sum()
}

/// More calls than the rate: what is beyond is refused, and told as a sum.
#[test]
fn calls_are_limited_and_counted() {
    let Some(scene) = Scene::new() else { return };
    let refusals: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let called = (0..1_500).map(|_| scene.worker.call(&SigningRequest::Check));
                    let busy = CallRefusal::Busy;
                    let refused = called.filter(
                        |answer| matches!(answer, Err(CallError::Refused(why)) if *why == busy),
                    );
                    u64::try_from(refused.count()).expect("few")
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|one| one.join().expect("calls"))
            .sum()
    });
    // Another service is not affected, nor a user who logs in.
    let person = scene.person();
    scene.signed_in(&person);
    let events = scene.audited_in_the_end();
    let told = events
        .iter()
        .filter(|event| event["event"] == "call.refused");
    let told: Vec<_> = told.collect();
    let counted: u64 = told
        .iter()
        .filter_map(|event| event["count"].as_u64())
        .sum();
    assert_eq!(counted, refusals, "{told:#?}");
    assert!(told.len() < 20, "{}", told.len());
}

/// More conversations than a worker may have: the last ones are refused, until others have ended.
#[test]
fn conversations_are_limited() {
    let Some(scene) = Scene::new() else { return };
    let address = scene.address();
    let open: Vec<_> = (0..4_096)
        .map(|_| {
            let client = scene.worker.connection("mallory", address);
            questions(client.begin());
            client
        })
        .collect();
    let one_more = scene.worker.connection("mallory", address);
    assert_eq!(refused(one_more.begin()).reason, "busy");
    open[0].close();
    questions(one_more.begin());
    for client in open.iter().skip(1) {
        client.close();
    }
    let events = scene.world.audit();
    assert_eq!(count(&events, "people.refused", "reason", "busy"), 1);
    scene.person();
}

/// Thousands of refusals do not fill the audit log: what is beyond the share of a minute is told as a sum,
/// also of those that only the auth process has seen.
#[test]
fn refusals_are_counted_when_they_are_too_many() {
    let Some(scene) = Scene::new() else { return };
    let before = scene.world.audit().len();
    let attempts = 6_000_u64;
    for number in 0..attempts {
        let [_, _, high, low] = u32::try_from(number % 500).expect("small").to_be_bytes();
        let address = std::net::SocketAddr::from(([10, 0, high, low], 50_000));
        let client = scene.worker.connection("mallory", address);
        let mut proof = client.proof();
        proof.signature.clear();
        let answer = client.ask(PeopleQuestion::Prove(proof));
        assert_eq!(refused(answer).reason, "bad-signature");
        client.close();
    }
    let log = scene.world.data().join("audit.jsonl");
    let length = std::fs::metadata(log).expect("it is there").len();
    assert!(length < 1_200 << 10, "{length} bytes");
    let events = scene.audited_in_the_end();
    let written = count(
        &events[before..],
        "people.refused",
        "reason",
        "bad-signature",
    );
    let sums = events[before..]
        .iter()
        .filter(|event| event["event"] == "refusals.counted");
    let counted: u64 = sums
        .filter_map(|sum| sum["counts"]["people.refused/bad-signature"].as_u64())
        .sum();
    assert!(written < attempts, "the share was not used up");
    assert_eq!(written + counted, attempts, "none is lost");
}

/// While an attacker asks as much as it can, people sign in.
#[test]
fn people_sign_in_meanwhile() {
    let Some(scene) = Scene::new() else { return };
    let person = scene.person();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (scene, is_over) = (&scene.worker, &is_over);
            scope.spawn(move || {
                let address = std::net::SocketAddr::from(([203, 0, 113, number], 50_000));
                while !is_over.load(relaxed) {
                    let client = scene.connection("mallory", address);
                    questions(client.begin());
                    if let PeopleAnswer::Questions(_) = client.answer(&[""]) {
                        refused(client.answer(&["not this one at all", "000000"]));
                    }
                    client.close();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for _ in 0..5 {
            let client = scene.signed_in(&person);
            let answer = client.certificate("root");
            assert!(matches!(answer, PeopleAnswer::Certificate(_)), "{answer:?}");
        }
        is_over.store(true, relaxed);
    });
}
