//! From a link in the terminal to a recorded session.

use serde_json::json;

use super::stage::{Plan, ProviderStage};
use crate::support::recordings::text;
use crate::support::world::Holds;

/// The link, the browser, the code; and then no question until the sign-in ends.
#[test]
fn a_browser_leads_to_a_recorded_session_and_the_next_connection_asks_nothing() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let world = &stage.world;
    let mut waiting = stage.ssh();
    let link = waiting.link();
    assert!(
        link.starts_with(&stage.at_web("/webapi/oidc/login/")),
        "{link}"
    );
    let page = stage.browser("alice").sign_in(&link, "alice");
    let code = page.code();
    assert!(page.html.contains("signed in as alice"), "{}", page.html);
    assert!(
        page.html.contains("from the address 127.0.0.1"),
        "{}",
        page.html
    );
    // As it is read aloud, or copied with a blank.
    waiting.type_code(&format!(" {} ", code.to_lowercase().replace('-', " ")));
    waiting.says_hello();
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "user"), "alice");
    assert_eq!(world.exported(&recording, "stdout"), b"hello\n");
    // `BatchMode` is in the configuration: a question would be a refusal.
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    let ticket = link.rsplit('/').next().expect("a part");
    let logs = ["data/audit.jsonl", "rproxy.log"];
    for file in logs.map(|name| world.dir().join(name)) {
        let content = std::fs::read_to_string(file).expect("a text file");
        for secret in [ticket, &code] {
            assert!(!content.contains(secret), "a secret is in {content}");
        }
    }
    for event in ["sign_in.begun", "key.registered"] {
        assert_eq!(world.events(event).len(), 1, "{event}");
    }
    let listed = world.users_do(&["ls"]);
    assert!(listed.contains("alice"), "{listed}");
}

/// `login` does it ahead of time.
#[test]
fn a_person_signs_in_ahead_of_time() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let login = stage.world.asking_ssh("alice").arg("login");
    let mut waiting = super::stage::Waiting(login.in_terminal(24, 200));
    let page = stage.browser("alice").sign_in(&waiting.link(), "alice");
    waiting.type_code(&page.code());
    waiting.0.expect("signed in as alice until");
    assert_eq!(waiting.0.finish().0, Some(0));
    assert_eq!(stage.world.run("db1", "echo in").success().text(), "in\n");
}

/// The roles are those of the claims, each time anew.
#[test]
fn claims_give_roles_and_without_a_role_a_person_is_refused() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let browser = stage.browser("mallory");
    let page = browser.sign_in(&stage.ssh().link(), "mallory");
    page.reads_the_refusal("gives you no role here");
    // A role that leads nowhere.
    let mut waiting = stage.ssh();
    let page = stage.browser("carol").sign_in(&waiting.link(), "carol");
    waiting.type_code(&page.code());
    assert_eq!(waiting.0.finish().0, Some(255));
    assert_eq!(stage.world.events("sign_in.begun").len(), 1);
    stage.log_out("carol");
    // The same person has other groups now.
    stage.start_provider(json!({ "people": { "carol": { "groups": ["dba"] } } }));
    let mut waiting = stage.ssh();
    let page = stage
        .browser("carol again")
        .sign_in(&waiting.link(), "carol");
    waiting.type_code(&page.code());
    waiting.says_hello();
}

/// A key that is registered for one subject does not sign in another.
#[test]
fn a_registered_key_is_for_one_person() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    stage.sign_in("alice");
    stage.log_out("alice");
    let mut waiting = stage.ssh();
    let page = stage.browser("bob").sign_in(&waiting.link(), "bob");
    waiting.type_code(&page.code());
    waiting.reads_the_refusal("your key is registered for alice");
    // With a key of their own, they can.
    let bob = stage.world.user_who_holds("bob", Holds::KeyAlone);
    let mut waiting = stage.ssh_as(&bob);
    let page = stage.browser("bob").sign_in(&waiting.link(), "bob");
    waiting.type_code(&page.code());
    waiting.says_hello();
}

#[test]
fn a_locked_person_of_the_provider_stays_out() {
    let Some(stage) = ProviderStage::new() else {
        return;
    };
    let world = &stage.world;
    stage.sign_in("alice");
    let mut session = world.shell();
    world.users_do(&["lock", "alice", "--reason=left the company"]);
    session.expect("locked");
    assert_eq!(session.finish().0, Some(255));
    assert_eq!(world.run("db1", "true").code(), 255);
    let another = world.user_who_holds("another", Holds::KeyAlone);
    let mut waiting = stage.ssh_as(&another);
    let page = stage.browser("alice").sign_in(&waiting.link(), "alice");
    page.reads_the_refusal("locked");
    world.users_do(&["unlock", "alice"]);
    stage.sign_in("alice");
}

/// Users with passwords and users of the provider, by the same proxy.
#[test]
fn passwords_and_the_provider_beside_each_other() {
    let plan = Plan {
        types: "[certificate, local, oidc]",
        ..Plan::default()
    };
    let Some(stage) = ProviderStage::with(plan) else {
        return;
    };
    let world = &stage.world;
    let dave = world.user_who_holds("dave", Holds::KeyAlone);
    let account = world.sign_up_silently_by("dave", &world.invite("dave"), &dave);
    // An unknown key says how.
    let mut waiting = stage.ssh();
    waiting.0.expect("or \"browser\" to sign in there: ");
    waiting.type_code("browser");
    let page = stage.browser("alice").sign_in(&waiting.link(), "alice");
    waiting.type_code(&page.code());
    waiting.says_hello();
    // A known key decides.
    stage.log_out("alice");
    let mut waiting = stage.ssh();
    waiting.link();
    let dave_agent = dave.key.with_file_name("agent");
    let logout = world.asking_ssh("dave").env("SSH_AUTH_SOCK", &dave_agent);
    logout.arg("logout").run().success();
    let mut waiting = stage.ssh_as(&dave);
    account.answer(&mut waiting.0);
    waiting.says_hello();
}
