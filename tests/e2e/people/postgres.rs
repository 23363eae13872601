//! The state in PostgreSQL, and two proxies that share it.

use crate::support::{World, postgres};

/// A world whose state is in PostgreSQL; `None` if that is not installed.
fn world() -> Option<World> {
    let url = postgres::database()?;
    let settings = postgres::section(&url);
    Some(World::with().signed_in().settings(&settings).start())
}

/// Live sessions go on while the database is away. Users are let in again when it is back.
#[test]
fn a_database_goes_away_and_comes_back() {
    let Some(server) = postgres::own_server() else {
        return;
    };
    let settings = format!("state: {{ url: '{}', max_stale: 1s }}", server.database());
    let world = World::with().signed_in().settings(&settings).start();
    let mut session = world.shell();
    for how in ["stop", "kill"] {
        server.tell(how);
        let refused = world.run("db1", "true");
        assert_eq!(refused.code(), 255, "{}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("the state of the proxy cannot be read"),
            "{}",
            refused.stderr
        );
        session.type_in("echo still $((40 + 2))\r");
        session.expect("still 42");
        server.tell("start");
        world.eventually("users are let in again", || {
            (world.run("db1", "true").code() == 0).then_some(())
        });
    }
    world.users_do(&["lock", "alice"]);
    session.expect("locked");
}

/// Each proxy knows what happens at the other.
#[test]
fn two_proxies_know_the_same_people() {
    let Some(world) = world() else { return };
    assert!(!world.data().join("state.db").exists());
    let mut first = world.shell();
    let _proxy = world.go_through_another_proxy();
    // `BatchMode` is in the configuration: a question would be a refusal.
    assert_eq!(world.run("db1", "echo in").success().text(), "in\n");
    let mut second = world.shell();
    // The command is about the second proxy, and knows of no other.
    world.users_do(&["lock", "alice", "--reason=left the company"]);
    for session in [&mut first, &mut second] {
        session.expect("locked");
    }
    for session in [first, second] {
        assert_eq!(session.finish().0, Some(255));
    }
    assert_eq!(world.run("db1", "true").code(), 255);
}
