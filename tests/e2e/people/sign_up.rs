//! From an invitation to a recorded session.

use crate::support::World;
use crate::support::recordings::text;

/// One command to sign up, one to log in to a host.
#[test]
fn two_commands_lead_from_an_invitation_to_a_recorded_session() {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    let outcome = world.run("db1", "echo hello; exit 3");
    assert_eq!(
        (outcome.code(), outcome.text().as_str()),
        (3, "hello\n"),
        "{}",
        outcome.stderr
    );
    let recording = world.finished_recording();
    assert_eq!(text(&recording, "user"), "alice");
    assert_eq!(world.exported(&recording, "stdout"), b"hello\n");
    // What was typed is nowhere.
    let authenticator = account.authenticator.expect("one was set up");
    let secrets = [account.password, authenticator.last_code()];
    for file in [
        world.data().join("audit.jsonl"),
        world.dir().join("rproxy.log"),
    ] {
        let content = std::fs::read_to_string(file).expect("a text file");
        for secret in &secrets {
            assert!(!content.contains(secret), "a secret is in {content}");
        }
    }
    let audited: Vec<_> = world
        .audit()
        .iter()
        .map(|event| text(event, "event").to_owned())
        .collect();
    for event in [
        "user.added",
        "invitation.spent",
        "key.registered",
        "sign_in.begun",
    ] {
        assert!(
            audited.iter().any(|one| one == event),
            "{event}: {audited:?}"
        );
    }
}

#[test]
fn an_invitation_works_once() {
    let world = World::with().people().start();
    let invitation = world.invite("alice");
    world.sign_up("alice", &invitation);
    for tried in [invitation.as_str(), "nonsense"] {
        let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
        terminal.expect("rproxy example.test: invitation: ");
        terminal.type_in(&format!("{tried}\r"));
        terminal.expect("the invitation is not valid: it is wrong, was used, or has expired");
    }
}
