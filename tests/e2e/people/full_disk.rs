//! The disk of the state is full while the proxy serves.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::World;

/// Lets the auth process write files of this size at most; the signal that goes with a larger one is
/// ignored, so that a write fails as on a full disk.
fn limit(world: &World, most: Option<u64>) {
    let pid = i32::try_from(world.auth_pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: most,
        maximum: Some(1 << 30),
    };
    prlimit(pid, Resource::Fsize, limit).expect("a process of the same account");
}

/// Users are refused with a sentence, live sessions go on, and with room there is everything as before.
#[test]
fn users_are_refused_until_there_is_room() {
    let world = World::with().signed_in().file_size_limit(1 << 20).start();
    let mut session = world.shell();
    let auth = world.auth_pid();
    limit(&world, Some(0));
    let refused = world.run("db1", "echo in");
    assert_eq!(refused.code(), 255, "{}", refused.stderr);
    assert!(refused.stderr.contains("rproxy: "), "{}", refused.stderr);
    let bob = world.user_who_holds("bob", crate::support::Holds::KeyAlone);
    let invitation = world.invite("bob");
    session.type_in("echo still $((40 + 2))\r");
    session.expect("still 42");
    // Nothing of what was refused has happened.
    assert_eq!(world.events("invitation.spent").len(), 1);
    limit(&world, Some(1 << 30));
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    world.sign_up_silently_by("bob", &invitation, &bob);
    assert_eq!(world.auth_pid(), auth, "it went on");
    // What is told now is enforced now.
    world.users_do(&["lock", "alice"]);
    session.expect("locked");
}
