//! The auth process may die at any moment: it is started again, and what users do goes on.

use crate::support::World;

/// Live sessions go on, and logins that begin at that moment wait and succeed.
#[test]
fn sessions_go_on_and_logins_wait() {
    let world = World::with().signed_in().start();
    let mut session = world.shell();
    for round in 0..4 {
        let mut logins = Vec::new();
        // One begins before it is killed, one as it dies, one as the next one starts.
        for number in 0..3 {
            logins.push(world.ssh().args(["db1", "echo in"]).start());
            if number == 0 {
                world.kill_auth();
            }
        }
        for login in logins {
            assert_eq!(login.finish().success().text(), "in\n");
        }
        session.type_in(&format!("echo round $(({round} + 100))\r"));
        session.expect(&format!("round {}", round + 100));
    }
    // The process that runs now knows what happens now.
    world.users_do(&["lock", "alice"]);
    session.expect("locked");
    assert_eq!(session.finish().0, Some(255));
}

/// What counted before it was killed counts afterwards: the sign-in is there, and the invitation is
/// spent.
#[test]
fn what_was_written_stays_written() {
    let world = World::with().people().start();
    let invitation = world.invite("alice");
    world.sign_up("alice", &invitation);
    world.kill_auth();
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    let mut terminal = world.asking_ssh("signup").in_terminal(60, 120);
    terminal.expect("invitation: ");
    terminal.type_in(&format!("{invitation}\r"));
    terminal.expect("the invitation is not valid");
}
