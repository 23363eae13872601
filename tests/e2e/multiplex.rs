//! `ssh_config(5)`, `ControlMaster`: several sessions over one connection.

use crate::support::World;
use crate::support::recordings::text;

#[test]
fn two_sessions_at_once_over_one_connection() {
    let world = World::new();
    let socket = world.dir().join("control");
    let control = format!("ControlPath={}", socket.display());
    let _master = world
        .ssh()
        .args(["-N", "-M", "-o", &control, "db1"])
        .start();
    world.eventually("the master listens", || socket.exists().then_some(()));

    // Each waits for the other's file: neither can end unless both run at once.
    let meet = |mine: &str, theirs: &str| {
        let dir = world.dir().display().to_string();
        format!(
            "touch {dir}/{mine}; until test -e {dir}/{theirs}; do sleep 0.02; done; echo {mine}"
        )
    };
    let first = world
        .ssh()
        .args(["-o", &control, "db1", &meet("first", "second")])
        .start();
    let second = world
        .ssh()
        .args(["-o", &control, "db1", &meet("second", "first")])
        .run()
        .success();
    let first = first.finish().success();
    assert_eq!(first.text(), "first\n");
    assert_eq!(second.text(), "second\n");
    assert_eq!(world.node().connections(), 1, "one connection to the host");

    let recordings = world.recordings();
    let [one, other] = recordings.as_slice() else {
        panic!("one recording per session, not {recordings:#?}");
    };
    assert_ne!(text(one, "id"), text(other, "id"));
    assert_eq!(text(one, "connection"), text(other, "connection"));
}

/// Short sessions without input: `ssh` closes the channel as soon as both streams have ended, and
/// must still get the command's exit status.
#[test]
fn every_session_hears_how_it_ended() {
    let world = World::new();
    let socket = world.dir().join("control");
    let control = format!("ControlPath={}", socket.display());
    let _master = world
        .ssh()
        .args(["-N", "-M", "-o", &control, "db1"])
        .start();
    world.eventually("the master listens", || socket.exists().then_some(()));
    for round in 0..40 {
        let command = format!("echo {round}; exit {round}");
        let outcome = world
            .ssh()
            .args(["-n", "-o", &control, "db1", &command])
            .run();
        assert_eq!(outcome.code(), round, "{}", outcome.stderr);
    }
}
