//! Stalls: a peer that does not read a stream stops only that stream.
//!
//! The first three are known to hang in relays that grant window on receipt or queue between their
//! two sides. Each also runs on a direct connection, with the same result.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hostile::Inner;
use crate::parity::Way;
use crate::support::World;
use crate::support::client::Live;
use crate::support::payload::{CLOSE, DATA, OPEN_CONFIRMATION, Payload, WINDOW_ADJUST};

const MIB: usize = 1 << 20;

/// `ssh` to the host on this way, as a shell command.
fn command(way: Way, world: &World) -> String {
    let file = |name: &str| world.dir().join(name).display().to_string();
    match way {
        Way::Proxied => format!("ssh -F {} db1", file("inner")),
        Way::Direct => format!(
            "ssh -F {} -p {} -o HostName=127.0.0.1 -o HostKeyAlias=db1 db1",
            file("outer"),
            world.node().port
        ),
    }
}

/// A writer that never ends, and a reader that starts late and exits early: the pipeline ends,
/// because `eow@openssh.com` tells the host that its output is not read any more.
#[test]
fn a_reader_that_leaves_ends_an_endless_writer() {
    let world = World::new();
    for way in [Way::Direct, Way::Proxied] {
        let ssh = command(way, &world);
        let outcome = world
            .program("bash")
            .arg("-c")
            .arg(format!(
                "cat /dev/zero | {ssh} cat | (sleep 1; head -c 30M)"
            ))
            .run()
            .success();
        assert_eq!(outcome.stdout.len(), 30 * MIB, "{way:?}");
    }
    let recording = world.finished_recording();
    let recorded = world.exported(&recording, "stdout");
    assert!(recorded.len() >= 30 * MIB, "{}", recorded.len());
}

/// Sessions whose output, or input, is not read leave the others of their connection at full speed.
#[test]
fn a_stalled_session_does_not_hold_up_its_neighbours() {
    let world = World::new();
    for way in [Way::Direct, Way::Proxied] {
        let socket = world.dir().join(format!("{way:?}"));
        let control = format!("ControlPath={}", socket.display());
        let client = || {
            let ssh = match way {
                Way::Direct => world.direct_ssh(),
                Way::Proxied => world.ssh(),
            };
            ssh.args(["-o", &control])
        };
        let _master = client().args(["-N", "-M", "db1"]).start();
        world.eventually("the master listens", || socket.exists().then_some(()));

        // The output of the first session is not read; the second one does not read its input.
        let mut deaf = client().args(["db1", "cat /dev/zero"]).start();
        deaf.read(1);
        let mut fed = client().args(["db1", "echo ready; exec sleep 60"]).start();
        fed.read(6);
        let sent = feed_endlessly(&mut fed);
        let unread = deaf.stdout.as_ref().expect("standard output");
        world.at_rest("both sessions stand still", || {
            let unread = rustix::io::ioctl_fionread(unread).expect("a pipe");
            unread + sent.load(Ordering::Relaxed)
        });

        // A transfer that had to wait would never end: the test's time limit ends it.
        let down = client()
            .args(["db1", "head -c 20M /dev/zero"])
            .run()
            .success();
        assert_eq!(down.stdout.len(), 20 * MIB, "{way:?}");
        let up = client()
            .args(["db1", "wc -c"])
            .stdin(vec![0; 20 * MIB])
            .run()
            .success();
        assert_eq!(up.text().trim(), (20 * MIB).to_string(), "{way:?}");
    }
}

/// Writes to the standard input of a session until it ends, and counts the bytes.
fn feed_endlessly(session: &mut Live) -> Arc<AtomicU64> {
    let sent = Arc::new(AtomicU64::new(0));
    let (count, mut stdin) = (Arc::clone(&sent), session.stdin.take().expect("it is open"));
    std::thread::spawn(move || {
        while let Ok(written) = stdin.write(&[0; 64 * 1024]) {
            count.fetch_add(written as u64, Ordering::Relaxed);
        }
    });
    sent
}

/// A plain download to a client with tiny windows and packets, which reads little at a time.
#[test]
fn a_download_through_a_narrow_window() {
    const SIZE: usize = 200_000;
    const WINDOW: u32 = 700;
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, WINDOW, 100);
    peer.exec(channel, &format!("head -c {SIZE} /dev/zero"));
    let (mut got, mut window) = (0, WINDOW);
    while got < SIZE {
        let data = peer.expect(&[DATA]);
        let length = data.len() - 9;
        assert!(length <= 100, "{length} bytes in one message");
        got += length;
        window = window
            .checked_sub(u32::try_from(length).expect("short"))
            .expect("no more than was granted");
        if window < WINDOW / 2 {
            let grant = Payload::new(WINDOW_ADJUST)
                .u32(channel.recipient)
                .u32(WINDOW - window);
            peer.send(&grant);
            window = WINDOW;
        }
    }
    assert_eq!(got, SIZE);
    peer.expect(&[CLOSE]);
    peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    drop(inner);
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdout").len(), SIZE);

    // ssh with a small pipe that is read in small pieces.
    for way in [Way::Direct, Way::Proxied] {
        let client = match way {
            Way::Direct => world.direct_ssh(),
            Way::Proxied => world.ssh(),
        };
        let mut session = client.args(["db1", "head -c 20M /dev/zero"]).start();
        let mut pipe = session.stdout.take().expect("standard output");
        let (mut total, mut buffer) = (0, [0; 1000]);
        loop {
            match pipe.read(&mut buffer).expect("a readable pipe") {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, 20 * MIB, "{way:?}");
        session.finish().success();
    }
}

/// A hundred channels of one connection send as much as the client's window allows, and the client
/// does not read: the proxy holds at most a fixed amount, and other connections are not slower.
#[test]
fn a_hundred_stalled_channels_are_bounded() {
    const CHANNELS: u32 = 100;
    const WINDOW: u32 = 2 << 20;
    let world = World::new();
    world.run("db1", "true").success();
    let before = world.proxy_memory();
    let source = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = source.local_addr().expect("a port").port();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let poured = Arc::new(AtomicU64::new(0));
    let mut channels = Vec::new();
    for number in 0..CHANNELS {
        let open = Payload::open("direct-tcpip", number, 0, 1 << 15)
            .string("127.0.0.1")
            .u32(port.into())
            .string("127.0.0.1")
            .u32(1);
        peer.send(&open);
        let confirmation = peer.expect(&[OPEN_CONFIRMATION]);
        channels.push(u32::from_be_bytes([
            confirmation[5],
            confirmation[6],
            confirmation[7],
            confirmation[8],
        ]));
        let (mut stream, _) = source.accept().expect("sshd connects");
        let poured = Arc::clone(&poured);
        // Exits when the other side closes the connection.
        std::thread::spawn(move || {
            while let Ok(count) = stream.write(&[0; 64 * 1024]) {
                poured.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
    }
    for channel in channels {
        peer.queue(&Payload::new(WINDOW_ADJUST).u32(channel).u32(WINDOW));
    }
    peer.flush();

    // The client reads no more: the sources stop, and so does the proxy.
    let last = world.at_rest("the proxy takes no more", || poured.load(Ordering::Relaxed));
    let held = world.proxy_memory().saturating_sub(before) / 1024;
    println!(
        "{CHANNELS} stalled channels: {held} MiB held of {} MiB sent",
        last >> 20
    );
    let granted = u64::from(CHANNELS * (WINDOW >> 20));
    assert!(held < granted, "{held} MiB held, {granted} MiB granted");
    let other = world.run("db1", "head -c 5M /dev/zero").success();
    assert_eq!(other.stdout.len(), 5 * MIB);
}
