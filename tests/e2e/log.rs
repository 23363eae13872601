//! The program's log: if its pipe is not read, sessions do not wait.

use std::io::Write;

use crate::support::World;
use crate::support::double::Peer;
use crate::support::payload::{GLOBAL_REQUEST, Payload};
use crate::support::world::login;

/// Users that fill the log. The refusals of each may take a MiB a minute, and 4 MiB wait at most.
const PEOPLE: usize = 6;
/// Connections of each user, and requests of each connection.
const CONNECTIONS: usize = 3;
const REQUESTS: usize = 950;
/// The text in the log once it is read again.
const DROPPED: &str = "lines of this log were dropped";

/// While the log is not read, sessions go on and begin, and the audit log has all events; when the
/// log is read again, it says how many lines were dropped.
#[test]
fn a_log_that_nobody_reads_stalls_nobody_and_says_what_it_has_lost() {
    let world = World::with().piped_log().start();
    let mut session = world.ssh().args(["db1", "cat"]).start();
    let mut speak = || {
        let stdin = session.stdin.as_mut().expect("a session");
        stdin.write_all(b"still here\n").expect("a session");
        assert_eq!(session.read(11), b"still here\n");
    };
    speak();
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| world.another_user(&format!("mallory{number}")))
        .collect();
    world.read_log(false);
    let name = format!("{:x<51}@example.com", "");
    for person in &people {
        for _ in 0..CONNECTIONS {
            let mut client = Peer::connect(world.address());
            client.log_in(&login(), &person.key);
            for _ in 0..REQUESTS {
                let request = Payload::new(GLOBAL_REQUEST).string(&name).flag(false);
                client.queue(&request);
            }
            client.catch_up();
        }
        speak();
    }
    let fresh = world.run("db1", "echo alive").success();
    assert_eq!(fresh.text(), "alive\n");
    let refused = |text: &str| text.matches(&name).count();
    let audit = || std::fs::read_to_string(world.data().join("audit.jsonl")).expect("it is there");
    let audited = refused(&audit());
    assert!(!world.proxy_log().contains(DROPPED));

    world.read_log(true);
    world.eventually("it says what was lost", || {
        world.proxy_log().contains(DROPPED).then_some(())
    });
    let logged = refused(&world.proxy_log());
    println!("{audited} refusals are audited, {logged} are logged");
    assert!(logged < audited, "{logged} of {audited}");
    // New events are logged again.
    let mark = world.proxy_log().len();
    world.run("db1", "true").success();
    world.eventually("it is logged", || {
        (world.proxy_log().len() > mark).then_some(())
    });
    speak();
    session.finish().success();
}
