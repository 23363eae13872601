//! The program is replaced while it runs: no session is dropped, and the port is open at every
//! moment.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::children::may_look_into;
use crate::support::client::Live;
use crate::support::ports::free_port;
use crate::support::recordings::text;
use crate::support::{ClientOutcome, World};

/// Sends SIGUSR2. Returns the audit event of the upgrade or of its refusal.
fn upgrade(world: &World) -> Value {
    let so_far = || {
        let mut all = world.audit();
        all.retain(|event| text(event, "event").starts_with("server.upgrade"));
        all
    };
    let before = so_far().len();
    world.signal_proxy(Signal::USR2);
    world.eventually("an upgrade", || so_far().into_iter().nth(before))
}

/// As [`upgrade`], and it is one.
pub(crate) fn upgraded(world: &World) {
    let event = upgrade(world);
    assert_eq!(event["event"], "server.upgraded", "{event:#}");
}

/// Why there was no upgrade.
fn refused(world: &World) -> String {
    let event = upgrade(world);
    assert_eq!(event["event"], "server.upgrade_refused", "{event:#}");
    text(&event, "message").to_owned()
}

fn echoes(session: &mut Live, said: &[u8]) {
    let stdin = session.stdin.as_mut().expect("a pipe");
    stdin.write_all(said).expect("it reads");
    assert_eq!(session.read(said.len()), said);
}

fn cat(world: &World) -> Live {
    let mut session = world.ssh().args(["db1", "cat"]).start();
    echoes(&mut session, b"begun");
    session
}

/// How many sockets a process has; zero if this account may not see them.
fn sockets(pid: u32) -> usize {
    if !may_look_into(pid) {
        return 0;
    }
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let links = entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

/// 500 sessions of stock clients. Most of them share connections, to keep the test short: starting
/// `ssh` 550 times takes long.
#[test]
fn five_hundred_sessions_survive() {
    const MASTERS: usize = 49;
    const EACH: usize = 10;
    const ALONE: usize = 10;
    let world = World::with()
        .own_program()
        .time_limit(Duration::from_secs(400))
        .start();
    let control = |number: usize| {
        let socket = world.dir().join(format!("c{number}"));
        (format!("ControlPath={}", socket.display()), socket)
    };
    let mut masters = Vec::new();
    for number in 0..MASTERS {
        let (option, socket) = control(number);
        let master = world.ssh().args(["-N", "-M", "-o", &option, "db1"]).start();
        masters.push((master, socket));
        // The sessions are started a few at a time.
        if let Some((_, socket)) = number.checked_sub(7).and_then(|early| masters.get(early)) {
            world.eventually("a master listens", || socket.exists().then_some(()));
        }
    }
    for (_, socket) in &masters {
        world.eventually("a master listens", || socket.exists().then_some(()));
    }
    let mut sessions: Vec<Live> = (0..MASTERS * EACH)
        .map(|number| {
            let (option, _) = control(number / EACH);
            world.ssh().args(["-o", &option, "db1", "cat"]).start()
        })
        .collect();
    sessions.extend((0..ALONE).map(|_| cat(&world)));
    assert_eq!(sessions.len(), 500);
    for session in &mut sessions {
        echoes(session, b"before");
    }

    let old = world.worker_pid();
    world.replace_program(None);
    upgraded(&world);
    let new: Vec<u32> = world
        .workers()
        .into_iter()
        .filter(|pid| *pid != old)
        .collect();
    let [new] = new[..] else {
        panic!("one new worker, not {new:?}");
    };
    for session in &mut sessions {
        echoes(session, b"after the upgrade");
    }

    let (of_old, of_new) = (sockets(old), sockets(new));
    let mut fresh = cat(&world);
    assert!(
        sockets(new) > of_new || !may_look_into(new),
        "who comes now is served by the new one"
    );
    assert_eq!(sockets(old), of_old);
    echoes(&mut fresh, b"fresh");
    // A connection from before may open more sessions.
    let (option, _) = control(0);
    let more = world
        .ssh()
        .args(["-o", &option, "db1", "echo more"])
        .start();

    let mut outcomes: Vec<ClientOutcome> = Vec::new();
    for mut session in sessions.into_iter().chain([more]) {
        session.stdin = None;
        outcomes.push(session.finish().success());
    }
    drop(masters);
    world.eventually("the old worker ends", || {
        (world.workers() == [new]).then_some(())
    });
    echoes(&mut fresh, b"and the new one stays");
    fresh.finish().success();
    assert_eq!(world.events("server.stopped")[0]["reason"], "upgraded");
    world.eventually("the disk has every recording", || {
        (world.events("session.end").len() == 502).then_some(())
    });
}

/// Upgrades in a row, with a session from each program; the ports of SSH and of the web are open at
/// every moment.
#[test]
fn upgrades_in_a_row() {
    let web = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let world = World::with()
        .own_program()
        .proxy_setting(&format!("web_listen_addr: \"{web}\""))
        .proxy_setting("web_plain_http: yes")
        .start();
    let ssh = world.address();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let knock = |address: SocketAddr| {
            let stop = &stop;
            move || {
                let mut knocks = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    TcpStream::connect(address).expect("somebody listens");
                    knocks += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                knocks
            }
        };
        let knocking = [ssh, web].map(|address| scope.spawn(knock(address)));
        let mut sessions = vec![cat(&world)];
        for round in 1..=3 {
            world.replace_program(None);
            upgraded(&world);
            assert_eq!(world.workers().len(), round + 1);
            sessions.push(cat(&world));
            for session in &mut sessions {
                echoes(session, b"still here");
            }
        }
        // The newest session ends last: older workers do not wait for it.
        for session in sessions {
            session.finish().success();
        }
        world.eventually("one worker is left", || {
            (world.workers().len() == 1).then_some(())
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for knocks in knocking {
            assert!(knocks.join().expect("never refused") > 10);
        }
    });
    world.signal_proxy(Signal::TERM);
    assert_eq!(world.proxy_end(), Some(0));
}

/// The new program does not run, refuses the configuration, or cannot begin to serve: the old one
/// goes on.
#[test]
fn what_would_not_run_takes_nothing_over() {
    let world = World::with().own_program().start();
    let old = world.worker_pid();
    let mut session = cat(&world);
    world.replace_program(Some("#!/bin/sh\necho broken >&2; exit 3\n"));
    let reason = refused(&world);
    assert!(reason.contains("exit status: 3: broken"), "{reason}");
    world.replace_program(Some("no program at all"));
    assert!(refused(&world).contains("cannot run"));

    // A program that other accounts may write is not run: they could have replaced it.
    let place = world.dir().join("rproxy");
    let mode = |path: &std::path::Path, mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own");
    };
    let ran = world.dir().join("ran");
    world.replace_program(Some(&format!("#!/bin/sh\n: >{}\n", ran.display())));
    mode(&place, 0o777);
    let reason = refused(&world);
    assert!(reason.contains("others can write"), "{reason}");
    mode(&place, 0o755);
    mode(world.dir(), 0o775);
    let reason = refused(&world);
    assert!(reason.contains("others can write"), "{reason}");
    mode(world.dir(), 0o700);
    assert!(!ran.exists(), "it ran");

    world.replace_program(None);
    world.edit_configuration(|text| format!("{text}no_such_key: 1\n"));
    let reason = refused(&world);
    assert!(reason.contains("no_such_key"), "{reason}");
    world.edit_configuration(|text| text.replace("no_such_key: 1\n", ""));

    let hindrance = world.data().join("revoked.jsonl");
    std::fs::create_dir(&hindrance).expect("nothing was revoked");
    let reason = refused(&world);
    assert!(
        reason.contains("revoked.jsonl: Is a directory")
            || reason.contains("cannot read") && reason.contains("revoked.jsonl"),
        "{reason}"
    );
    assert_eq!(world.worker_pid(), old, "the old one serves");
    world.run("db1", "true").success();
    echoes(&mut session, b"unharmed");

    std::fs::remove_dir(&hindrance).expect("it is empty");
    upgraded(&world);
    echoes(&mut session, b"unharmed");
    session.finish().success();
    world.eventually("the old worker ends", || {
        let workers = world.workers();
        (workers.len() == 1 && workers[0] != old).then_some(())
    });
}

/// A stop applies to all workers, also to those from before an upgrade; so does SIGHUP.
#[test]
fn workers_from_before_obey_too() {
    let world = World::with().own_program().start();
    let mut terminal = world.shell();
    let mut session = cat(&world);
    upgraded(&world);
    let reloaded = || {
        let events = world.events("configuration.reloaded");
        events
            .iter()
            .filter(|event| event["at"] == "reload")
            .count()
    };
    world.signal_proxy(Signal::HUP);
    world.eventually("both read it again", || (reloaded() == 2).then_some(()));

    world.signal_proxy(Signal::TERM);
    terminal.expect("rproxy: proxy: the proxy stops, this session ends in");
    echoes(&mut session, b"in peace");
    session.finish().success();
    terminal.type_in("exit 5\r");
    assert_eq!(terminal.finish().0, Some(5));
    assert_eq!(world.proxy_end(), Some(0));
}
