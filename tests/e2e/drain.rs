//! The proxy stops: it waits for its sessions, tells their users, and loses no data of those that
//! it closes.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::World;
use crate::support::recordings::text;

/// The message to users at a terminal.
const TOLD: &str = "rproxy: proxy: the proxy stops, this session ends in";
/// The message to users whose sessions are closed.
const ENDED: &str = "rproxy: proxy: shutting down, connect again in a moment";

#[test]
fn it_waits_for_sessions_and_tells_who_sits_at_a_terminal() {
    let world = World::new();
    let mut terminal = world.shell();
    let mut program = world.ssh().args(["db1", "cat"]).start();
    let mut echo = |said: &[u8]| {
        let stdin = program.stdin.as_mut().expect("a pipe");
        stdin.write_all(said).expect("it reads");
        program.read(said.len())
    };
    assert_eq!(echo(b"before"), b"before");

    world.signal_proxy(Signal::TERM);
    terminal.expect(TOLD);
    terminal.expect(" 30s at the latest");
    terminal.expect("hint: finish what you do");
    let refused = world.run("db1", "true");
    assert_eq!(refused.code(), 255);
    assert!(
        refused.stderr.contains("Connection refused"),
        "{}",
        refused.stderr
    );

    // Nothing else has changed, and sessions go on.
    terminal.type_in("echo still he''re\r");
    terminal.expect("still here");
    assert_eq!(echo(b"after"), b"after");
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.finish().0, Some(7));
    let outcome = program.finish().success();
    assert_eq!(outcome.stderr, "", "a program reads what the host says");
    assert_eq!(world.proxy_end(), Some(0));
    assert_eq!(world.events("server.draining")[0]["seconds"], 30);
    assert_eq!(world.events("server.stopped").len(), 1);
    let ends = world.events("session.end");
    assert!(
        ends.iter().all(|end| !end["exit_status"].is_null()),
        "{ends:#?}"
    );
}

#[test]
fn a_master_opens_sessions_until_the_end() {
    let world = World::with().proxy_setting("drain_timeout: 1h").start();
    let socket = world.dir().join("control");
    let control = format!("ControlPath={}", socket.display());
    let master = world
        .ssh()
        .args(["-N", "-M", "-o", &control, "db1"])
        .start();
    world.eventually("the master listens", || socket.exists().then_some(()));
    world.signal_proxy(Signal::TERM);
    world.eventually("it drains", || world.events("server.draining").pop());
    for round in 0..3 {
        let command = format!("echo {round}");
        let outcome = world.ssh().args(["-o", &control, "db1", &command]).run();
        assert_eq!(outcome.success().text(), format!("{round}\n"));
    }
    // The time limit is an hour: the second signal does not wait for it.
    world.signal_proxy(Signal::INT);
    assert_eq!(world.proxy_end(), Some(0));
    assert_eq!(master.finish().code(), 255);
}

#[test]
fn what_is_left_then_is_ended() {
    for (setting, least) in [("drain_timeout: 1s", 1), ("drain_timeout: 0", 0)] {
        let world = World::with().proxy_setting(setting).start();
        let mut session = world.ssh().args(["db1", "echo here; sleep 60"]).start();
        assert_eq!(session.read(5), b"here\n");
        let begun = Instant::now();
        world.signal_proxy(Signal::TERM);
        let outcome = session.finish();
        assert!(begun.elapsed() >= Duration::from_secs(least));
        assert_eq!(outcome.code(), 255);
        assert!(outcome.stderr.contains(ENDED), "{}", outcome.stderr);
        assert_eq!(world.proxy_end(), Some(0));
        assert_eq!(world.recording()["state"], "complete");
        assert_eq!(world.events("session.end")[0]["reason"], "shutdown");
    }
}

/// SIGTERM under load: the recordings have everything that users saw, and every session that began
/// has its end in the audit log.
#[test]
fn a_stop_under_load_loses_nothing() {
    const SESSIONS: usize = 6;
    let world = World::with().proxy_setting("drain_timeout: 1s").start();
    let mut sessions: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let command = format!("while seq -s ' {number}-' 1 2000; do :; done");
            world.ssh().args(["db1", &command]).start()
        })
        .collect();
    let mut seen: Vec<Vec<u8>> = sessions.iter_mut().map(|one| one.read(1000)).collect();
    world.signal_proxy(Signal::TERM);
    // All sessions are read to their end, at the same time.
    let readers: Vec<_> = sessions
        .into_iter()
        .map(|session| std::thread::spawn(move || session.finish()))
        .collect();
    for (seen, reader) in seen.iter_mut().zip(readers) {
        let outcome = reader.join().expect("a session has an outcome");
        assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        seen.extend(&outcome.stdout);
    }
    assert_eq!(world.proxy_end(), Some(0));

    let stored: Vec<Vec<u8>> = world
        .recordings()
        .iter()
        .map(|recording| {
            assert_eq!(recording["state"], "complete");
            world.exported(recording, "stdout")
        })
        .collect();
    assert_eq!(stored.len(), SESSIONS);
    for seen in &seen {
        assert!(
            stored.iter().any(|stored| stored.starts_with(seen)),
            "{} bytes that a user saw are in no recording",
            seen.len()
        );
    }
    let sessions = |name| -> BTreeSet<String> {
        let events = world.events(name);
        events
            .iter()
            .map(|event| text(event, "session").to_owned())
            .collect()
    };
    assert_eq!(sessions("session.start").len(), SESSIONS);
    assert_eq!(sessions("session.start"), sessions("session.end"));
}
