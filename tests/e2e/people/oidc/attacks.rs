//! People who want to sign in as another person.

use super::stage::ProviderStage;
use crate::support::world::Holds;

/// The attacker sends the link of their own terminal. The victim follows it, signs in, and is shown a
/// code, which the attacker does not have.
#[test]
fn a_victim_who_opens_the_link_of_another_gives_nothing() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let world = &stage.world;
    let mallory = world.user_who_holds("mallory", Holds::KeyAlone);
    let mut of_attacker = stage.ssh_as(&mallory);
    let page = stage.browser("alice").sign_in(&of_attacker.link(), "alice");
    let code = page.code();
    assert!(
        page.html.contains("in which you started ssh yourself"),
        "{}",
        page.html
    );
    // The code is of no use in the victim's own terminal.
    let mut of_victim = stage.ssh();
    of_victim.link();
    of_victim.type_code(&code);
    of_victim.0.expect("code from the browser: ");
    for guess in ["0000-0000", "ABCD-EFGH", "", "browser"] {
        of_attacker.type_code(guess);
        of_attacker.0.expect("code from the browser: ");
    }
    of_attacker.type_code("alice");
    assert_eq!(of_attacker.0.finish().0, Some(255));
    assert!(world.events("sign_in.begun").is_empty());
    let listed = world.users_do(&["ls"]);
    assert!(!listed.contains("alice"), "{listed}");
    assert_eq!(
        world.ssh_as(&mallory).args(["db1", "true"]).run().code(),
        255
    );
}

/// The attacker opens the link, and sends the address at the provider instead.
#[test]
fn an_address_at_the_provider_is_of_no_use_in_another_browser() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let mallory = stage.world.user_who_holds("mallory", Holds::KeyAlone);
    let mut waiting = stage.ssh_as(&mallory);
    let opened = stage.browser("mallory").get(&waiting.link());
    assert_eq!(opened.status, 303, "{}", opened.html);
    let victim = stage.browser("alice");
    let page = victim.sign_in(&opened.redirect, "alice");
    page.reads_the_refusal("in another browser");
    // Nothing was spent by that: the attacker can go on, as themselves.
    let page = stage.browser("mallory").sign_in(&opened.redirect, "bob");
    waiting.type_code(&page.code());
    waiting.says_hello();
}

#[test]
fn five_wrong_codes_end_the_connection() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let mut waiting = stage.ssh();
    let page = stage.browser("alice").sign_in(&waiting.link(), "alice");
    for _ in 0..4 {
        waiting.type_code("0000-0000");
        waiting
            .0
            .expect("This is not the code that the browser shows.");
        waiting.0.expect("code from the browser: ");
    }
    waiting.type_code("0000-0000");
    assert_eq!(waiting.0.finish().0, Some(255));
    // The right code is over with it.
    let mut waiting = stage.ssh();
    waiting.link();
    waiting.type_code(&page.code());
    waiting.0.expect("code from the browser: ");
    assert!(stage.world.events("sign_in.begun").is_empty());
}

#[test]
fn links_answers_and_codes_are_of_use_once() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let browser = stage.browser("alice");
    let mut waiting = stage.ssh();
    let link = waiting.link();
    // A program that looks at the link first spends nothing.
    assert_eq!(stage.browser("preview").get(&link).status, 303);
    let callback = browser.callback(&link, "alice");
    let code = browser.get(&callback).code();
    assert_ne!(browser.get(&callback).status, 200, "twice");
    waiting.type_code(&code);
    waiting.says_hello();
    browser
        .get(&link)
        .reads_the_refusal("this link is not valid");
    for path in ["login/AAAA-BBBB-CCCC-DDDD", "login/0"] {
        let page = browser.get(&stage.at_web(&format!("/webapi/oidc/{path}")));
        page.reads_the_refusal("this link is not valid");
    }
    let page = browser.get(&stage.at_web("/webapi/oidc/callback?code=x&state=y"));
    page.reads_the_refusal("in another browser");
}

/// The person says no at the provider, which tells the browser so.
#[test]
fn a_person_who_cancels_reads_so() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let browser = stage.browser("alice");
    let opened = browser.get(&stage.ssh().link());
    let form = browser.get(&opened.redirect);
    let cancelled = browser.sign_in(&format!("{}/abort", form.redirect), "alice");
    assert_eq!(cancelled.status, 403, "{}", cancelled.html);
    assert!(
        cancelled.html.contains("You are not signed in"),
        "{}",
        cancelled.html
    );
}
