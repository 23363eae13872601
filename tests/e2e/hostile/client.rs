//! Hostile clients of the listener, before and after they are authenticated.

use std::time::{Duration, Instant};

use crate::support::double::Peer;
use crate::support::payload::{
    CLOSE, EOF, EXTENDED_DATA, GLOBAL_REQUEST, IGNORE, KEX_INIT, KEX_REPLY, KEXINIT, NEWKEYS, OPEN,
    OPEN_CONFIRMATION, OPEN_FAILURE, Payload, REQUEST_SUCCESS, SERVICE_REQUEST, SUCCESS,
    USERAUTH_FAILURE, USERAUTH_REQUEST, WINDOW_ADJUST,
};
use crate::support::recordings::text;
use crate::support::world::login;
use crate::support::{World, keys};

use super::{Bystander, attack};

type HostileClient = Peer<std::net::TcpStream>;

/// Attacks without keys: the data that is sent instead of a key exchange, and the text in the log.
#[test]
fn strangers() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let ident = b"SSH-2.0-Stranger\r\n";
    // Our own proposal: a valid one, with strict key exchange.
    let proposal = Peer::connect(world.address()).transport.output().to_vec();
    let after_ident = |bytes: &[u8]| [ident, bytes].concat();
    let after_proposal = |payload: Payload| [proposal.clone(), payload.in_the_clear()].concat();

    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        (
            "not SSH",
            "no SSH identification",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ),
        (
            "an old version",
            "version not supported",
            b"SSH-1.5-Old\r\n".to_vec(),
        ),
        (
            "an identification without end",
            "no SSH identification",
            [b"SSH-2.0-", vec![b'x'; 100_000].as_slice()].concat(),
        ),
        (
            "control characters",
            "not printable ASCII",
            b"SSH-2.0-\x1b[2J\r\n".to_vec(),
        ),
        (
            "a packet of 4 GiB",
            "bad packet length",
            after_ident(&[0xff; 64]),
        ),
        (
            "an empty packet",
            "bad packet length",
            after_ident(&[0; 64]),
        ),
        (
            "more padding than packet",
            "bad padding length",
            after_ident(&[&[0, 0, 0, 12, 200][..], &[0; 64]].concat()),
        ),
        (
            "a proposal of rubbish",
            "malformed message 20",
            after_ident(&Payload::new(KEXINIT).string("x").in_the_clear()),
        ),
        (
            "new keys before there are any",
            "message 21 not expected",
            after_ident(&Payload::new(NEWKEYS).in_the_clear()),
        ),
        (
            "authentication in the clear",
            "message 50 not expected",
            after_proposal(Payload::new(USERAUTH_REQUEST).string("root")),
        ),
        // CVE-2023-48795
        (
            "an additional packet in a strict key exchange",
            "message 2 not expected in a strict key exchange",
            after_proposal(Payload::new(IGNORE).string("")),
        ),
        (
            "a server's part of the key exchange",
            "message 31 not expected",
            after_proposal(Payload::new(KEX_REPLY).string("x")),
        ),
        (
            "a second proposal",
            "message 20 not expected",
            [
                proposal.clone(),
                proposal[proposal
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .expect("a line")
                    + 1..]
                    .to_vec(),
            ]
            .concat(),
        ),
        (
            "a key that is none",
            "key exchange",
            after_proposal(Payload::new(KEX_INIT).string([0; 32])),
        ),
    ];
    for (name, logged, bytes) in cases {
        attack(&world, name, logged, || {
            let mut client = Peer::connect(world.address());
            client.send_raw(&bytes);
            client.transport.output().clear();
            let mut rest = Vec::new();
            // The proxy closes the connection; a reset is also right, because it did not read all
            // that we sent.
            let ended = std::io::Read::read_to_end(&mut client.stream, &mut rest);
            if let Err(error) = ended {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{name}");
            }
        });
    }
    bystander.unharmed();
}

/// A client with keys, but not authenticated.
#[test]
fn clients_that_do_not_authenticate() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let ends = |name: &str, logged: &str, act: &dyn Fn(&mut HostileClient)| {
        attack(&world, name, logged, || {
            let mut client = Peer::connect(world.address());
            client.establish();
            act(&mut client);
            client.end();
        });
    };
    ends("a wrong MAC", "authentication code incorrect", &|client| {
        client.send_damaged(
            &Payload::new(SERVICE_REQUEST).string("ssh-userauth"),
            usize::MAX,
        );
    });
    ends("a wrong length", "left without authenticating", &|client| {
        client.send_raw(&[0xff; 256]);
    });
    ends(
        "a channel at once",
        "left without authenticating",
        &|client| {
            client.send(&Payload::open("session", 0, 1 << 20, 1 << 15));
        },
    );
    ends(
        "endless attempts",
        "left without authenticating",
        &|client| {
            client.send(&Payload::new(SERVICE_REQUEST).string("ssh-userauth"));
            for _ in 0..2_000 {
                let none = Payload::new(USERAUTH_REQUEST)
                    .string("root")
                    .string("ssh-connection")
                    .string("none");
                if !client.send(&none) {
                    return;
                }
            }
        },
    );
    ends(
        "another user in the next attempt",
        "user name may not change",
        &|client| {
            client.send(&Payload::new(SERVICE_REQUEST).string("ssh-userauth"));
            for user in ["alice", "root"] {
                let none = Payload::new(USERAUTH_REQUEST)
                    .string(user)
                    .string("ssh-connection");
                client.send(&none.string("none"));
            }
        },
    );
    ends(
        "traffic without end",
        "sent too much before authentication",
        &|client| {
            let ignored = Payload::new(IGNORE).string(vec![0; 30_000]);
            for _ in 0..2_000 {
                if !client.send(&ignored) {
                    return;
                }
            }
        },
    );
    bystander.unharmed();
}

/// A client that breaks the protocol after a refusal: log and audit have the protocol error, not
/// the refusal.
#[test]
fn a_breach_after_a_refusal_is_what_log_and_audit_say() {
    let world = World::new();
    let mut client = Peer::connect(world.address());
    client.ask_for_authentication();
    let key = world.dir().join("plain");
    keys::generate(&key);
    let plain = ssh_key::PublicKey::read_openssh_file(keys::with_suffix(&key, ".pub"));
    let blob = plain.and_then(|key| key.to_bytes()).expect("a public key");
    let query = Payload::new(USERAUTH_REQUEST)
        .string(login())
        .string("ssh-connection")
        .string("publickey")
        .flag(false)
        .string("ssh-ed25519")
        .string(blob);
    client.send(&query);
    client.expect(&[USERAUTH_FAILURE]);
    let early = Payload::new(GLOBAL_REQUEST).string("keepalive@openssh.com");
    client.send(&early.flag(true));
    let says = "message 80 is not allowed during user authentication";
    let told = client.end();
    assert!(told.contains(says), "{told}");
    let failure = world.eventually("the failure is audited", || {
        let mut events = world.audit().into_iter();
        events.find(|event| text(event, "event") == "auth.failure")
    });
    assert_eq!(text(&failure, "reason"), "protocol-error");
    assert!(text(&failure, "message").contains(says), "{failure:#}");
    world.logged(says);
}

/// Clients that authenticate correctly and then break the protocol.
#[test]
fn clients_that_are_authenticated() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let ends = |name: &str, logged: &str, act: &dyn Fn(&mut HostileClient)| {
        attack(&world, name, logged, || {
            let mut client = Peer::connect(world.address());
            client.log_in(&login(), &world.user.key);
            act(&mut client);
            client.end();
        });
    };
    ends("a wrong MAC", "authentication code incorrect", &|client| {
        client.send_damaged(&Payload::open("session", 0, 1, 1), usize::MAX);
    });
    ends(
        "data for nobody",
        "channel that does not exist",
        &|client| {
            client.send(&Payload::data(7, b"x"));
        },
    );
    ends("a reply to nothing", "a reply to no request", &|client| {
        client.send(&Payload::new(SUCCESS).u32(0));
    });
    ends(
        "a global reply to nothing",
        "a reply to no request",
        &|client| {
            client.send(&Payload::new(REQUEST_SUCCESS));
        },
    );
    ends(
        "a confirmation of nothing",
        "a reply to no request",
        &|client| {
            client.send(&Payload::new(OPEN_CONFIRMATION).u32(0).u32(0).u32(0).u32(1));
        },
    );
    ends("too much data", "data beyond the window", &|client| {
        let channel = client.open_session(0, 1 << 20, 1 << 15);
        for _ in 0..100 {
            client.send(&Payload::data(channel.recipient, &[0; 32 * 1024]));
        }
    });
    ends(
        "too large a piece of data",
        "data beyond the window",
        &|client| {
            let channel = client.open_session(0, 1 << 20, 1 << 15);
            client.send(&Payload::data(channel.recipient, &[0; 100_000]));
        },
    );
    ends(
        "a window of 2^32",
        "a window of more than 4 GiB",
        &|client| {
            let channel = client.open_session(0, 1, 1 << 15);
            client.send(
                &Payload::new(WINDOW_ADJUST)
                    .u32(channel.recipient)
                    .u32(u32::MAX),
            );
        },
    );
    ends(
        "a channel that takes no data",
        "a maximum packet size of 0",
        &|client| {
            client.send(&Payload::open("session", 0, 1 << 20, 0));
        },
    );
    ends("extended data", "extended data", &|client| {
        let channel = client.open_session(0, 1, 1 << 15);
        let data = Payload::new(EXTENDED_DATA).u32(channel.recipient).u32(1);
        client.send(&data.string("x"));
    });
    ends(
        "data after the end",
        "channel that does not exist",
        &|client| {
            let channel = client.open_session(0, 1, 1 << 15);
            client.send(&Payload::new(CLOSE).u32(channel.recipient));
            client.send(&Payload::new(EOF).u32(channel.recipient));
        },
    );
    ends("a truncated message", "protocol error", &|client| {
        client.send(&Payload::new(OPEN).string("session"));
    });
    ends(
        "channels without end",
        "too much that is not permitted",
        &|client| {
            for number in 0..5_000 {
                if !client.send(&Payload::open("session", number, 1, 1 << 15)) {
                    return;
                }
            }
        },
    );
    ends(
        "forwardings without end",
        "too much that is not permitted",
        &|client| {
            for _ in 0..5_000 {
                let request = Payload::new(GLOBAL_REQUEST)
                    .string("tcpip-forward")
                    .flag(false);
                if !client.send(&request.string("").u32(0)) {
                    return;
                }
            }
        },
    );
    bystander.unharmed();
}

/// Requests of a client that does not read the answers cost the proxy no memory.
#[test]
fn a_client_that_asks_and_never_listens() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let mut client = Peer::connect(world.address());
    client.log_in(&login(), &world.user.key);
    let patience = Some(Duration::from_millis(700));
    client.stream.set_write_timeout(patience).expect("a socket");
    let request = Payload::new(GLOBAL_REQUEST)
        .string("keepalive@openssh.com")
        .flag(true);
    let mut sent: u64 = 0;
    loop {
        for _ in 0..1_000 {
            client.transport.send(&request.0).expect("a payload");
        }
        sent += client.transport.output().len() as u64;
        if !client.flush() {
            break;
        }
        assert!(sent < 512 << 20, "the proxy takes requests without end");
    }
    let memory = world.proxy_memory();
    assert!(memory < bystander.memory + 32 * 1024, "{memory} KiB");
    bystander.unharmed();
}

/// Channels that other servers support are each refused; the connection goes on.
#[test]
fn channels_that_are_not_served() {
    let world = World::new();
    let mut client = Peer::connect(world.address());
    client.log_in(&login(), &world.user.key);
    for kind in [
        "x11",
        "forwarded-tcpip",
        "auth-agent@openssh.com",
        "bogus@example.com",
    ] {
        client.send(&Payload::open(kind, 3, 1 << 20, 1 << 15));
        let failure = client.expect(&[OPEN_FAILURE]);
        assert_eq!(failure[1..5], [0, 0, 0, 3], "{kind}");
    }
    client.open_session(4, 1 << 20, 1 << 15);
}

/// Clients that are slow at each stage before the login: each is disconnected after the grace time.
#[test]
fn slow_clients_are_given_up_on() {
    let world = World::with().proxy_setting("login_grace_time: 3s").start();
    let address = world.address();
    let ends = |name: &str, act: &(dyn Fn(&mut HostileClient) + Sync)| {
        let began = Instant::now();
        let mut client = Peer::connect(address);
        act(&mut client);
        // Bytes after the end of the connection are not an error of the transport.
        let mut rest = Vec::new();
        let ended = std::io::Read::read_to_end(&mut client.stream, &mut rest);
        if let Err(error) = ended {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{name}");
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(2900), "{name}: {took:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| ends("nothing", &|_| {}));
        scope.spawn(|| {
            ends("an identification", &|client| {
                client.send_raw(b"SSH-2.0-Slow\r\n");
            });
        });
        scope.spawn(|| {
            ends("a proposal", &|client| {
                client.flush();
            });
        });
        scope.spawn(|| {
            ends("half a proposal, byte by byte", &|client| {
                for byte in client.transport.output().split().iter().take(500) {
                    if !client.send_raw(&[*byte]) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        });
        scope.spawn(|| ends("keys", &|client| client.establish()));
        scope.spawn(|| {
            ends("a service", &|client| {
                client.establish();
                client.send(&Payload::new(SERVICE_REQUEST).string("ssh-userauth"));
            });
        });
    });
    // After its last message, the proxy reads from the client for a little longer, so that the
    // message is not lost.
    world.eventually("all six are in the log", || {
        let log = world.proxy_log();
        (log.matches("left without authenticating").count() == 6).then_some(())
    });
    world.run("db1", "true").success();
}
