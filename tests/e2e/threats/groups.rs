//! The other groups of tests, by their numbers in `docs/THREATS.md`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{all_complete, recorded};
use crate::bulk::random;
use crate::forwards::refused;
use crate::hostile::Inner;
use crate::support::children::may_look_into;
use crate::support::double::Peer;
use crate::support::payload::{CLOSE, DATA, EOF, GLOBAL_REQUEST, OPEN_FAILURE, Payload};
use crate::support::ports::free_port;
use crate::support::recordings::{file, lines, said};
use crate::support::service::{ANSWER, ask, bytes, listens, on_port};
use crate::support::{HostKey, World, programs};

/// The recording has what the host's child process read and wrote.
#[test]
fn t2_bytes_are_equal() {
    let sent = random(400_000);
    for options in [
        &["-o", "RekeyLimit=16K"][..],
        &["-C"],
        &["-C", "-o", "RekeyLimit=16K"],
    ] {
        let world = World::new();
        let dir = world.dir().display().to_string();
        let command = format!(
            "tee {dir}/read | tee /dev/stderr | tr '\\000-\\377' '\\001-\\377\\000' | tee {dir}/wrote"
        );
        let outcome = world
            .ssh()
            .args(options)
            .args(["db1", &command])
            .env("LC_ALL", "C")
            .stdin(sent.clone())
            .run()
            .success();
        let read = |name: &str| std::fs::read(world.dir().join(name)).expect("the host wrote it");
        assert!(read("read") == sent);
        assert!(outcome.stdout == read("wrote"));
        recorded(&world, &sent, &read("wrote"), &sent);
    }
}

/// Pieces of one byte, NULs, and characters that are cut in the middle.
#[test]
fn t2_single_bytes() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    peer.exec(channel, "cat");
    let sent = "a\0å€😀\u{202e}".as_bytes();
    for byte in sent {
        peer.send(&Payload::data(channel.recipient, &[*byte]));
    }
    peer.send(&Payload::new(EOF).u32(channel.recipient));
    peer.expect(&[CLOSE]);
    peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    drop(inner);
    recorded(&world, sent, sent, b"");
}

/// Packets of the largest size, in both directions, with hosts and clients that accept them.
#[test]
fn t2_the_largest_packets() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("large", port)
        .start();
    let key = world.host_key("large");
    // A packet has a length, padding, and the number and the length of what is in it.
    let pieces: Vec<Vec<u8>> = (0..8).map(|_| random((256 << 10) - 300)).collect();
    let sent = pieces.concat();
    std::thread::scope(|scope| {
        let host = scope.spawn(move || {
            let (stream, _) = listener.accept().expect("the proxy dials");
            let mut host = Peer::host(stream, &key);
            host.welcome();
            let channel = host.accept_session(1 << 24, 1 << 18);
            host.accept_start(channel);
            let (mut read, mut largest) = (Vec::new(), 0);
            loop {
                let packet = host.expect(&[DATA, EOF]);
                if packet[0] == EOF {
                    break;
                }
                read.extend_from_slice(&packet[9..]);
                largest = largest.max(packet.len());
                host.send(&Payload::data(channel.recipient, &packet[9..]));
            }
            host.exit(channel, 0);
            host.end();
            (read, largest)
        });
        let mut inner = Inner::log_in(&world, "large");
        let peer = &mut inner.peer;
        let channel = peer.open_session(0, 1 << 24, 1 << 18);
        peer.exec(channel, "anything");
        for piece in &pieces {
            peer.send(&Payload::data(channel.recipient, piece));
        }
        peer.send(&Payload::new(EOF).u32(channel.recipient));
        let mut heard = Vec::new();
        loop {
            let packet = peer.expect(&[DATA, CLOSE]);
            if packet[0] == CLOSE {
                break;
            }
            heard.extend_from_slice(&packet[9..]);
        }
        peer.send(&Payload::new(CLOSE).u32(channel.recipient));
        drop(inner);
        let (read, largest) = host.join().expect("the host is content");
        assert!(read == sent && heard == sent);
        assert!(largest > (256 << 10) - 300, "{largest}");
    });
    recorded(&world, &sent, &sent, b"");
}

/// The same in a terminal that changes nothing, with what is typed stored.
#[test]
fn t2_bytes_are_equal_in_a_terminal() {
    let world = World::with()
        .settings("recording: { pty_input: yes }")
        .start();
    let dir = world.dir().display().to_string();
    let shown = random(100_000);
    std::fs::write(world.dir().join("shown"), &shown).expect("a writable directory");
    let typed = "a\0\x03\x04\x1a\r\n\x7f\u{1b}[A€😀\u{202e}".repeat(50);
    let command = format!(
        "stty raw -echo; echo ready; head -c {} > {dir}/read; cat {dir}/shown",
        typed.len()
    );
    for options in [&["-tt"][..], &["-tt", "-C", "-o", "RekeyLimit=16K"]] {
        let mut terminal = world
            .ssh()
            .args(options)
            .args(["db1", &command])
            .in_terminal(24, 80);
        terminal.expect("ready\n");
        terminal.type_in(&typed);
        let (code, seen) = terminal.finish();
        assert_eq!(code, Some(0));
        let recording = world.finished_recording();
        let read = std::fs::read(world.dir().join("read")).expect("the host wrote it");
        assert!(read == typed.as_bytes());
        let lines = lines(file(&recording));
        assert!(said(&lines, "i") == typed);
        let output = world.exported(&recording, "stdout");
        assert!(output.starts_with(b"ready\n") && output.ends_with(&shown));
        // Besides it there is only the last output of the shell.
        assert_eq!(output.len(), b"ready\n".len() + shown.len());
        assert!(seen.starts_with(&output));
        std::fs::remove_file(file(&recording)).expect("it was there");
    }
}

/// A proxy that may open only a few files more: a session that begins is recorded, one that cannot
/// be recorded is refused, and the next one is served as soon as more files may be opened.
#[test]
fn t4_no_more_files() {
    let world = World::new();
    let proxy = world.worker_pid();
    if !may_look_into(proxy) {
        return;
    }
    let files = || -> Vec<(usize, PathBuf)> {
        let entries = std::fs::read_dir(format!("/proc/{proxy}/fd")).expect("it runs");
        entries
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, std::fs::read_link(entry.path()).ok()?))
            })
            .collect()
    };
    let sockets = || {
        let all = files();
        let is_socket = |path: &Path| path.to_string_lossy().starts_with("socket:");
        all.iter().filter(|(_, path)| is_socket(path)).count()
    };
    let idle = sockets();
    world.run("db1", "echo seen").success();
    let limit = |files: usize| {
        let limit = Command::new(programs::path("prlimit"))
            .arg(format!("--pid={proxy}"))
            .arg(format!("--nofile={files}:4096"))
            .status();
        assert!(limit.expect("it runs").success());
    };
    let (mut served, mut turned_away) = (1, 0);
    for more in 1..=6 {
        world.eventually("nobody is there any more", || {
            (sockets() == idle).then_some(())
        });
        let open: BTreeSet<usize> = files().into_iter().map(|(number, _)| number).collect();
        // The number of a file is the least that is free, and must stay below the limit.
        let mut free = (0..).filter(|number| !open.contains(number));
        limit(free.nth(more).expect("numbers do not end"));
        let outcome = world.run("db1", "echo seen");
        if outcome.text() == "seen\n" {
            served += 1;
        } else {
            assert_eq!((outcome.code(), outcome.text().as_str()), (255, ""));
            assert!(outcome.stderr.contains("rproxy: "), "{}", outcome.stderr);
            turned_away += 1;
        }
        limit(4096);
    }
    assert!(served > 1 && turned_away > 0, "{served}, {turned_away}");
    world.run("db1", "echo seen").success();
    for recording in all_complete(&world, served + 1) {
        assert_eq!(world.exported(&recording, "stdout"), b"seen\n");
    }
}

/// Awkward file names of the host arrive unchanged; `tools` tests the rest.
#[test]
fn t5_names_that_are_no_text() {
    let world = World::new();
    let dir = world.dir().display().to_string();
    let command = format!("cd {dir}; printf x > $'a\\nb\\377'; ls -b");
    let outcome = world.run("db1", &format!("bash -c {command:?}"));
    let listed = outcome.success().text();
    recorded(&world, b"", listed.as_bytes(), b"");
}

/// The extensions of OpenSSH's sftp: renaming over files, hard links, copies on the host, free
/// space, names of users. The recording has every byte that the host's own server read and wrote.
#[test]
fn t5_extensions_of_sftp() {
    let server = "PATH=/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh sftp-server";
    let settings = format!("Subsystem seen tee $HOME/read | {server} | tee $HOME/wrote\n");
    let world = World::with()
        .tuned_node("db1", HostKey::Certified, &settings)
        .start();
    let dir = world.dir().display().to_string();
    let sent = random(300_000);
    std::fs::write(world.dir().join("sent"), &sent).expect("a writable directory");
    let batch = format!(
        "put {dir}/sent \"{dir}/with space\"\nput {dir}/sent {dir}/old\nrename \"{dir}/with space\" {dir}/old\n\
         ln {dir}/old {dir}/hard\nln -s ../nowhere/.. {dir}/soft\n-cp {dir}/hard {dir}/copied\ndf {dir}\n\
         ls -la {dir}\nchmod 600 {dir}/hard\n-chmod -h 600 {dir}/soft\nget {dir}/hard {dir}/back\n\
         -get {dir}/../../no/such/file {dir}/never\n"
    );
    std::fs::write(world.dir().join("batch"), batch).expect("a writable directory");
    world
        .program("sftp")
        .args(["-q", "-R", "200", "-B", "1000", "-s", "seen"])
        .args([
            "-F",
            &format!("{dir}/inner"),
            "-b",
            &format!("{dir}/batch"),
            "db1",
        ])
        .run()
        .success();
    let stored = |name: &str| std::fs::read(world.dir().join(name)).expect("it is there");
    assert!(stored("back") == sent && stored("hard") == sent);
    let recording = world.finished_recording();
    assert!(world.exported(&recording, "stdin") == stored("db1/read"));
    assert!(world.exported(&recording, "stdout") == stored("db1/wrote"));
    let asked = String::from_utf8_lossy(&stored("db1/read")).into_owned();
    for extension in [
        "posix-rename@openssh.com",
        "hardlink@openssh.com",
        "statvfs@openssh.com",
    ] {
        assert!(asked.contains(extension), "{extension}");
    }
}

/// A forward that outlives its session is recorded to its end.
#[test]
fn t6_a_forward_after_its_session() {
    let world = World::new();
    let (service, local) = (on_port(), free_port());
    let over = world.dir().join("over");
    let ssh = world
        .ssh()
        .args(["-L", &format!("{local}:127.0.0.1:{service}"), "db1"])
        .arg(format!(
            "until test -e {}; do sleep 0.02; done",
            over.display()
        ))
        .start();
    world.eventually("ssh listens", || listens(local).then_some(()));
    let stream = std::net::TcpStream::connect(("127.0.0.1", local)).expect("ssh listens");
    std::io::Write::write_all(&mut &stream, b"begun ").expect("a socket");
    std::fs::write(&over, "").expect("a writable directory");
    world.eventually("the session ends", || {
        let audit = world.audit();
        let mut ends = audit.iter().filter(|event| event["event"] == "session.end");
        ends.any(|event| event["kind"] != "forward").then_some(())
    });
    std::io::Write::write_all(&mut &stream, b"ended").expect("a socket");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a socket");
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut &stream, &mut answer).expect("a socket");
    assert!(answer == [ANSWER, b"begun ended"].concat());
    drop(stream);
    ssh.finish().success();
    crate::forwards::check(&world, "direct-tcpip", b"begun ended", &answer);
}

/// Nothing is opened, listened for or dialled for a client that has not authenticated inside.
#[test]
fn t6_forwards_before_authentication() {
    for message in [
        Payload::open("direct-tcpip", 0, 1 << 20, 1 << 15).addresses(),
        Payload::open("session", 0, 1 << 20, 1 << 15),
        Payload::new(GLOBAL_REQUEST)
            .string("tcpip-forward")
            .flag(true)
            .string("localhost")
            .u32(0),
    ] {
        let world = World::new();
        let mut inner = Inner::connect(&world, "db1");
        inner.peer.ask_for_authentication();
        inner.peer.send(&message);
        inner.peer.end();
        world.eventually("the client is given up", || {
            let refusals = world.refusals_so_far();
            (!refusals.is_empty()).then_some(())
        });
        let audit = world.audit();
        let opened = |event: &&Value| {
            event["event"] == "forward.opened" || event["event"] == "session.start"
        };
        assert!(audit.iter().find(opened).is_none(), "{audit:#?}");
        assert!(world.recordings().is_empty());
        assert!(!world.node().log().contains("Accepted publickey"));
    }
}

/// A hundred sessions over one `ControlMaster`, one after another, while files are copied both ways, a
/// port is forwarded and a shell stays open.
#[test]
fn t7_a_hundred_sessions_beside_everything_else() {
    const ROUNDS: usize = 10;
    const SESSIONS: usize = 10;
    let world = World::new();
    let dir = world.dir().display().to_string();
    let (service, local) = (on_port(), free_port());
    let sent = random(2_000_000);
    std::fs::write(world.dir().join("sent"), &sent).expect("a writable directory");
    let control = format!("ControlPath={dir}/control");
    let master = world
        .ssh()
        .args(["-N", "-M", "-o", &control])
        .args(["-L", &format!("{local}:127.0.0.1:{service}"), "db1"])
        .start();
    world.eventually("the master listens", || {
        let ready = world.dir().join("control").exists() && listens(local);
        ready.then_some(())
    });
    let inner = format!("{dir}/inner");
    let scp = |options: &[&str], from: String, to: String| {
        world
            .program("scp")
            .args(options)
            .args(["-q", "-F", &inner, "-o", &control, &from, &to])
            .start()
    };
    let mut shell = world
        .ssh()
        .args(["-T", "-o", &control, "db1", "cat"])
        .start();
    for round in 0..ROUNDS {
        let up = scp(&[], format!("{dir}/sent"), format!("db1:{dir}/up{round}"));
        let down = scp(
            &["-O"],
            format!("db1:{dir}/sent"),
            format!("{dir}/down{round}"),
        );
        let forward = std::thread::spawn(move || ask(local, &bytes()));
        for session in 0..SESSIONS {
            let number = round * SESSIONS + session;
            let command = format!("echo {number}; exit {number}");
            let outcome = world
                .ssh()
                .args(["-n", "-o", &control, "db1", &command])
                .run();
            assert_eq!(outcome.text(), format!("{number}\n"));
            assert_eq!(
                usize::try_from(outcome.code()),
                Ok(number),
                "{}",
                outcome.stderr
            );
        }
        let stdin = shell.stdin.as_mut().expect("it is open");
        std::io::Write::write_all(stdin, b"still here\n").expect("the shell stays");
        assert_eq!(shell.read(11), b"still here\n");
        let answer = forward.join().expect("nobody panics");
        assert!(answer == [ANSWER, &bytes()].concat(), "round {round}");
        up.finish().success();
        down.finish().success();
        for name in [format!("up{round}"), format!("down{round}")] {
            let copied = std::fs::read(world.dir().join(&name)).expect("it was copied");
            assert!(copied == sent, "{name}");
        }
    }
    shell.finish().success();
    drop(master);
    assert_eq!(
        world.node().connections(),
        1,
        "one connection for all of it"
    );
    // The sessions, two copies a round, the shell, and the forwards.
    let recordings = all_complete(&world, ROUNDS * (SESSIONS + 2) + 2);
    let numbers: BTreeSet<_> = recordings
        .iter()
        .filter(|one| one["command"].to_string().starts_with("\"echo "))
        .map(|one| world.exported(one, "stdout"))
        .collect();
    assert_eq!(
        numbers.len(),
        ROUNDS * SESSIONS,
        "each in a recording of its own"
    );
}

/// `no-more-sessions@openssh.com` is a promise that the proxy keeps, whatever the host does.
#[test]
fn t7_no_more_sessions() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    peer.exec(channel, "cat");
    let promise = Payload::new(GLOBAL_REQUEST).string("no-more-sessions@openssh.com");
    peer.send(&promise.flag(false));
    peer.send(&Payload::open("session", 1, 1 << 20, 1 << 15));
    peer.expect(&[OPEN_FAILURE]);
    refused(&world, "channel", "session");
}

/// Not more sessions at once than `permit.max_sessions`, ten by default.
#[test]
fn t7_too_many_sessions() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    for number in 0..10 {
        peer.open_session(number, 1 << 20, 1 << 15);
    }
    peer.send(&Payload::open("session", 10, 1 << 20, 1 << 15));
    peer.expect(&[OPEN_FAILURE]);
    refused(&world, "channel", "session");
}
