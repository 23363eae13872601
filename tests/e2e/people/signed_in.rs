//! Who has signed in is asked nothing more.

use crate::support::recordings::text;
use crate::support::{HostKey, World};

/// `ssh` asks at the first connection, goes on to the host, and asks nothing at the next.
#[test]
fn a_login_asks_once_and_goes_on_to_the_host() {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    let mut terminal = world
        .asking_ssh_to("db1", "echo here; exit 4")
        .in_terminal(24, 80);
    account.answer(&mut terminal);
    terminal.expect("here");
    let (code, _) = terminal.finish();
    assert_eq!(code, Some(4));
    // `BatchMode` is in the configuration: a question would be a refusal.
    assert_eq!(world.run("db1", "echo again").success().text(), "again\n");
}

#[test]
fn sessions_share_a_connection_and_jump() {
    let world = World::with()
        .signed_in()
        .node("db1", HostKey::Certified)
        .start();
    let socket = world.dir().join("control");
    let control = format!("ControlPath={}", socket.display());
    let _master = world
        .ssh()
        .args(["-N", "-M", "-o", &control, "db1"])
        .start();
    world.eventually("the master listens", || socket.exists().then_some(()));
    for round in ["one", "two"] {
        let outcome = world
            .ssh()
            .args(["-o", &control, "db1", &format!("echo {round}")])
            .run();
        assert_eq!(outcome.success().text(), format!("{round}\n"));
    }
    let jump = crate::jump::config(&world);
    let outcome = world
        .program("ssh")
        .args(["-F", &jump, "-A", "db1", "echo jumped"])
        .run();
    assert_eq!(outcome.success().text(), "jumped\n");
    for event in world.events("session.start") {
        assert_eq!(text(&event, "user"), "alice");
    }
}

/// The questions come on the outer connection, before the host is asked anything; its answers go to
/// nobody else.
#[test]
fn the_login_at_the_host_is_not_the_persons_name() {
    let world = World::with().people().start();
    let account = world.sign_up("carol", &world.invite("carol"));
    world.asking_ssh("carol").arg("logout").run().success();
    // The outer user name is the login: the person is found by the key.
    let mut terminal = world.asking_ssh_to("db1", "echo here").in_terminal(24, 80);
    account.answer(&mut terminal);
    terminal.expect("here");
    assert_eq!(terminal.finish().0, Some(0));
    assert_eq!(text(&world.finished_recording(), "user"), "carol");
}
