//! T1: what a client may do with the channels of one connection.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use rproxy::relay::Side;
use rproxy::relay::table::{NameContext, TABLE, Verdict, judge};
use serde_json::Value;

use super::{FAILURE, all_complete, ask_channel, recorded};
use crate::forwards::refused;
use crate::hostile::Inner;
use crate::support::double::{Channel, Peer, Pipes};
use crate::support::payload::{
    CLOSE, DATA, EOF, GLOBAL_REQUEST, OPEN_CONFIRMATION, OPEN_FAILURE, Payload, REQUEST,
    REQUEST_FAILURE, REQUEST_SUCCESS, SUCCESS, WINDOW_ADJUST,
};
use crate::support::recordings::text;
use crate::support::service::{ANSWER, on_port};
use crate::support::{HostKey, World};

/// After a session has started, nothing may start or prepare another one on its channel.
#[test]
fn t1_requests_after_the_start() {
    let world = World::new();
    let mut sessions = 0;
    for (first, fields) in [
        ("shell", &[][..]),
        ("exec", &["cat"]),
        ("subsystem", &["sftp"]),
    ] {
        let mut inner = Inner::log_in(&world, "db1");
        let peer = &mut inner.peer;
        let channel = peer.open_session(0, 1 << 20, 1 << 15);
        assert_eq!(
            ask_channel(peer, channel, first, fields),
            SUCCESS,
            "{first}"
        );
        for (second, fields) in [
            ("shell", &[][..]),
            ("exec", &["echo never"]),
            ("subsystem", &["sftp"]),
            ("env", &["LANG", "C"]),
            ("pty-req", &["xterm"]),
            ("x11-req", &[]),
            ("auth-agent-req@openssh.com", &[]),
            ("exit-status", &[]),
            ("exit-signal", &[]),
            ("unknown@example.com", &[]),
        ] {
            let answer = ask_channel(peer, channel, second, fields);
            assert_eq!(answer, FAILURE, "{second} after {first}");
            refused(&world, "channel-request", second);
        }
        sessions += 1;
        drop(inner);
    }
    let recordings = world.recordings();
    assert_eq!(recordings.len(), sessions, "{recordings:#?}");
}

/// Before a session has started, a client may send its requests twice, and its data must not cross
/// unrecorded.
#[test]
fn t1_requests_and_data_before_the_start() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let channel = peer.open_session(0, 1 << 20, 1 << 15);
    for _ in 0..2 {
        assert_eq!(ask_channel(peer, channel, "env", &["LC_X", "1"]), SUCCESS);
    }
    for name in ["signal", "break", "exit-status", "tun@openssh.com"] {
        assert_eq!(ask_channel(peer, channel, name, &[]), FAILURE, "{name}");
        refused(&world, "channel-request", name);
    }
    assert_eq!(ask_channel(peer, channel, "exec", &["cat"]), SUCCESS);
    peer.send(&Payload::data(channel.recipient, b"after"));
    peer.send(&Payload::new(EOF).u32(channel.recipient));
    assert_eq!(peer.expect(&[DATA])[9..], *b"after");
    peer.expect(&[CLOSE]);
    peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    drop(inner);
    recorded(&world, b"after", b"after", b"");
}

/// Every type of channel and every request of the table, and some that it does not have, in every
/// place without a row for them: refused by name, and audited.
#[test]
fn t1_whatever_the_table_does_not_have() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let mut names: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
    names.extend([
        "unknown@example.com",
        "tun@openssh.com",
        "x11-req@example.com",
    ]);
    let refused_at = |place: NameContext| {
        let mut names = names.clone();
        names.retain(|name| judge(Side::Client, place, name) == Verdict::Refuse);
        assert!(names.len() > 10, "{place:?}: {names:?}");
        names
    };

    for name in refused_at(NameContext::Open) {
        peer.send(&Payload::open(name, 5, 1 << 20, 1 << 15).addresses());
        let answer = peer.expect(&[OPEN_CONFIRMATION, OPEN_FAILURE]);
        assert_eq!(answer[0], OPEN_FAILURE, "{name}");
        refused(&world, "channel", name);
    }
    for name in refused_at(NameContext::Global) {
        peer.send(&Payload::new(GLOBAL_REQUEST).string(name).flag(true));
        let answer = peer.expect(&[REQUEST_SUCCESS, REQUEST_FAILURE]);
        assert_eq!(answer[0], REQUEST_FAILURE, "{name}");
        refused(&world, "global-request", name);
    }
    let setup = peer.open_session(0, 1 << 20, 1 << 15);
    let running = peer.open_session(1, 1 << 20, 1 << 15);
    peer.exec(running, "cat");
    let service = on_port();
    let forward = Payload::open("direct-tcpip", 2, 1 << 20, 1 << 15)
        .string("127.0.0.1")
        .u32(u32::from(service))
        .string("192.0.2.1")
        .u32(1);
    peer.send(&forward);
    let recipient = confirmed(&peer.expect(&[OPEN_CONFIRMATION]));
    for (place, channel) in [
        (NameContext::Setup, setup),
        (NameContext::Running, running),
        (NameContext::Forwarded, Channel { recipient }),
    ] {
        for name in refused_at(place) {
            let answer = ask_channel(peer, channel, name, &["x"]);
            assert_eq!(answer, FAILURE, "{name} at {place:?}");
            refused(&world, "channel-request", name);
        }
    }
    // All three channels work as before.
    peer.exec(setup, "echo started");
    assert_eq!(peer.expect(&[DATA])[9..], *b"started\n");
    peer.send(&Payload::data(running.recipient, b"echo"));
    assert_eq!(peer.expect(&[DATA])[9..], *b"echo");
    peer.send(&Payload::data(recipient, b"question"));
    peer.send(&Payload::new(EOF).u32(recipient));
    assert_eq!(peer.expect(&[DATA])[9..], *[ANSWER, b"question"].concat());
}

/// The same from a host.
#[test]
fn t1_whatever_the_table_does_not_have_from_a_host() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let world = World::with()
        .node("db1", HostKey::Certified)
        .foreign_node("odd", port)
        .start();
    let key = world.host_key("odd");
    let refused_at = |place: NameContext| -> Vec<&str> {
        let names = TABLE
            .iter()
            .map(|row| row.name)
            .chain(["unknown@example.com"]);
        let names: BTreeSet<&str> = names.collect();
        names
            .into_iter()
            .filter(|name| judge(Side::Host, place, name) == Verdict::Refuse)
            .collect()
    };
    let (globals, requests) = (
        refused_at(NameContext::Global),
        refused_at(NameContext::Running),
    );
    assert!(globals.len() > 10 && requests.len() > 10);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (stream, _) = listener.accept().expect("the proxy dials");
            let mut host = Peer::host(stream, &key);
            host.welcome();
            let channel = host.accept_session(1 << 20, 1 << 15);
            host.accept_start(channel);
            for name in &globals {
                host.send(&Payload::new(GLOBAL_REQUEST).string(name).flag(true));
                let answer = host.expect(&[REQUEST_SUCCESS, REQUEST_FAILURE]);
                assert_eq!(answer[0], REQUEST_FAILURE, "{name}");
            }
            for name in &requests {
                let request = Payload::new(REQUEST).u32(channel.recipient).string(name);
                host.send(&request.flag(true));
                let answer = host.expect(&[SUCCESS, FAILURE]);
                assert_eq!(answer[0], FAILURE, "{name}");
            }
            host.send(&Payload::data(channel.recipient, b"as before"));
            host.exit(channel, 3);
            host.end();
        });
        world.ssh().args(["odd", "anything"]).run()
    });
    assert_eq!((outcome.code(), outcome.text().as_str()), (3, "as before"));
    for name in &globals {
        assert_eq!(
            text(&refused(&world, "global-request", name), "from"),
            "host"
        );
    }
    for name in &requests {
        assert_eq!(
            text(&refused(&world, "channel-request", name), "from"),
            "host"
        );
    }
}

/// The host's number for a channel that it has confirmed.
fn confirmed(confirmation: &[u8]) -> u32 {
    let number = confirmation[5..9].try_into().expect("four bytes");
    u32::from_be_bytes(number)
}

/// More sessions than are permitted, requested at once and under one number; and again.
#[test]
fn t1_repeated_opens() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    for round in 0..3 {
        for _ in 0..30 {
            peer.queue(&Payload::open("session", 7, 1 << 20, 1 << 15));
        }
        peer.flush();
        let answers: Vec<_> = (0..30)
            .map(|_| peer.expect(&[OPEN_CONFIRMATION, OPEN_FAILURE]))
            .collect();
        let open: Vec<u32> = answers
            .iter()
            .filter(|answer| answer[0] == OPEN_CONFIRMATION)
            .map(|answer| confirmed(answer))
            .collect();
        assert_eq!(open.len(), 10, "round {round}");
        let different: BTreeSet<_> = open.iter().collect();
        assert_eq!(different.len(), open.len());
        for recipient in &open {
            peer.exec(
                Channel {
                    recipient: *recipient,
                },
                "echo opened",
            );
            assert_eq!(peer.expect(&[DATA])[9..], *b"opened\n");
            peer.expect(&[CLOSE]);
        }
        for recipient in open {
            peer.queue(&Payload::new(CLOSE).u32(recipient));
        }
        peer.flush();
        peer.catch_up();
    }
    let audit = world.audit();
    let refusals = audit
        .iter()
        .filter(|event| event["event"] == "channel.refused");
    assert_eq!(refusals.count(), 3 * 20);
    drop(inner);
    all_complete(&world, 30);
}

/// The ends of a channel in every order: sessions that started are recorded, and the connection
/// goes on.
#[test]
fn t1_ends_that_cross() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let peer = &mut inner.peer;
    let exec = |channel: Channel, command: &str| {
        Payload::new(REQUEST)
            .u32(channel.recipient)
            .string("exec")
            .flag(true)
            .string(command)
    };
    let close = |channel: Channel| Payload::new(CLOSE).u32(channel.recipient);
    let eof = |channel: Channel| Payload::new(EOF).u32(channel.recipient);
    let open = |peer: &mut Peer<Pipes>| peer.open_session(0, 1 << 20, 1 << 15);

    // Start and end at once, before the host has answered.
    let channel = open(peer);
    peer.queue(&exec(channel, "cat"));
    peer.queue(&eof(channel));
    peer.queue(&close(channel));
    peer.flush();
    peer.expect(&[CLOSE]);

    // Input and end at once.
    let channel = open(peer);
    peer.exec(channel, "cat");
    peer.queue(&Payload::data(channel.recipient, b"at once"));
    peer.queue(&eof(channel));
    peer.queue(&close(channel));
    peer.flush();
    peer.expect(&[CLOSE]);

    // Nothing but the end.
    let channel = open(peer);
    peer.send(&close(channel));
    peer.expect(&[CLOSE]);

    // An end in the middle of the host's output.
    let channel = open(peer);
    peer.exec(channel, "yes");
    peer.expect(&[DATA]);
    peer.send(&close(channel));
    peer.expect(&[CLOSE]);

    // Messages after the host's CLOSE: they are discarded, and are no protocol error.
    let channel = open(peer);
    peer.exec(channel, "true");
    peer.expect(&[CLOSE]);
    peer.queue(&Payload::data(channel.recipient, b"too late"));
    peer.queue(&Payload::new(WINDOW_ADJUST).u32(channel.recipient).u32(1));
    peer.queue(&eof(channel));
    peer.queue(&close(channel));
    peer.flush();

    // An end without an EOF, and an EOF without an end, while another session is opened.
    let channel = open(peer);
    peer.exec(channel, "cat");
    peer.queue(&eof(channel));
    peer.queue(&Payload::open("session", 1, 1 << 20, 1 << 15));
    peer.queue(&close(channel));
    peer.flush();
    let recipient = confirmed(&peer.expect(&[OPEN_CONFIRMATION]));
    peer.exec(Channel { recipient }, "echo alive");
    assert_eq!(peer.expect(&[DATA])[9..], *b"alive\n");
    drop(inner);

    let recordings = all_complete(&world, 6);
    let command = |wanted: &str| {
        let is = |one: &&Value| one["command"] == wanted;
        recordings.iter().find(is).expect("it was recorded")
    };
    assert_eq!(world.exported(command("true"), "stdin"), b"");
    assert!(!world.exported(command("yes"), "stdout").is_empty());
    let cats = recordings.iter().filter(|one| one["command"] == "cat");
    let inputs: Vec<_> = cats.map(|one| world.exported(one, "stdin")).collect();
    assert!(inputs.contains(&b"at once".to_vec()), "{inputs:?}");
}
