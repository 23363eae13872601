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

/// In the home of a person who has used `ssh` for nothing else there is the proxy's and the hosts'
/// line of `known_hosts`, and nothing else.
#[test]
fn nothing_is_stored_on_the_persons_machine() {
    let world = World::with().people().start();
    let home = world.dir().join("home");
    std::fs::create_dir(&home).expect("a writable directory");
    let known_hosts = std::fs::read_to_string(world.dir().join("known_hosts"));
    std::fs::write(home.join("known_hosts"), known_hosts.expect("it is there"))
        .expect("a writable directory");
    world.sign_up("alice", &world.invite("alice"));
    world.run("db1", "true").success();
    let files: Vec<_> = std::fs::read_dir(&home)
        .expect("a readable directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(files, ["known_hosts"]);
    // The agent holds what it held before: one plain key.
    let listed = world.program("ssh-add").arg("-l").run().success().text();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(!listed.contains("CERT"), "{listed}");
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
