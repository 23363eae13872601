//! Hostile hosts behind the proxy, with a real `ssh` in front of it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::double::{Channel, Peer};
use crate::support::payload::{
    CLOSE, DATA, EOF, GLOBAL_REQUEST, IGNORE, NEWKEYS, OPEN_FAILURE, Payload, REQUEST,
    REQUEST_SUCCESS, SUCCESS, USERAUTH_BANNER, WINDOW_ADJUST,
};
use crate::support::proxy::{memory_of, peak_of};
use crate::support::recordings::text;
use crate::support::{ClientOutcome, HostKey, World};

use super::{Bystander, attack};

type Host = Peer<TcpStream>;

/// A world with `db1`, which is honest, and `evil`, which the test runs itself.
struct Stage {
    listener: TcpListener,
    world: World,
    key: std::path::PathBuf,
}

impl Stage {
    fn new() -> Self {
        Self::with("")
    }

    fn with(settings: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a port").port();
        let world = World::with()
            .node("db1", HostKey::Certified)
            .foreign_node("evil", port)
            .settings(settings)
            .start();
        let key = world.host_key("evil");
        Self {
            listener,
            world,
            key,
        }
    }

    /// Runs `ssh evil COMMAND` with this host.
    fn visit(&self, act: impl FnOnce(TcpStream, &Path) + Send) -> ClientOutcome {
        self.visit_with(Vec::new(), act)
    }

    /// The same with something on standard input.
    fn visit_with(
        &self,
        stdin: Vec<u8>,
        act: impl FnOnce(TcpStream, &Path) + Send,
    ) -> ClientOutcome {
        let (listener, key) = (&self.listener, &self.key);
        std::thread::scope(|scope| {
            let host = scope.spawn(move || {
                let (stream, _) = listener.accept().expect("the proxy dials");
                act(stream, key);
            });
            let outcome = self
                .world
                .ssh()
                .args(["evil", "anything"])
                .stdin(stdin)
                .run();
            host.join().expect("the host does as the test says");
            outcome
        })
    }

    /// A host that accepts the session `anything` and then misbehaves.
    fn ends(&self, name: &str, logged: &str, act: impl FnOnce(&mut Host, Channel) + Send) {
        attack(&self.world, name, logged, || {
            let outcome = self.visit(|stream, key| {
                let mut host = Peer::host(stream, key);
                let channel = start(&mut host);
                act(&mut host, channel);
                host.end();
            });
            assert_eq!(outcome.code(), 255, "{name}: {}", outcome.stderr);
        });
    }

    /// The same with a client that is stopped while the host misbehaves. A client that runs would grant more
    /// window, or answer requests, and a host that is slow on a busy machine would never go too far.
    fn ends_unheard(&self, name: &str, logged: &str, act: impl FnOnce(&mut Host, Channel)) {
        attack(&self.world, name, logged, || {
            let client = self.world.ssh().args(["evil", "anything"]).start();
            let pid = i32::try_from(client.pid()).ok().and_then(Pid::from_raw);
            let pid = pid.expect("it runs");
            let (stream, _) = self.listener.accept().expect("the proxy dials");
            let mut host = Peer::host(stream, &self.key);
            let channel = start(&mut host);
            self.world.pause(pid);
            act(&mut host, channel);
            host.end();
            kill_process(pid, Signal::CONT).expect("it runs");
            let outcome = client.finish();
            assert_eq!(outcome.code(), 255, "{name}: {}", outcome.stderr);
        });
    }

    /// A host that breaks the protocol before it has proved its identity.
    fn refused(&self, name: &str, said: &str, act: impl FnOnce(&mut TcpStream) + Send) {
        attack(&self.world, name, said, || {
            let outcome = self.visit(|mut stream, _key| {
                act(&mut stream);
                drain(stream);
            });
            assert_eq!(outcome.code(), 255, "{name}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(said), "{name}: {}", outcome.stderr);
        });
    }
}

fn start(host: &mut Host) -> Channel {
    host.welcome();
    let channel = host.accept_session(1 << 20, 1 << 15);
    assert_eq!(host.accept_start(channel), "anything");
    channel
}

/// Reads until the other side has closed the connection.
fn drain(mut stream: TcpStream) {
    let patience = Some(std::time::Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a socket");
    let ended = std::io::copy(&mut stream, &mut std::io::sink());
    if let Err(error) = ended {
        assert_ne!(
            error.kind(),
            std::io::ErrorKind::WouldBlock,
            "never hung up"
        );
    }
}

/// Sends bytes; the other side may have closed the connection.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    std::io::Write::write_all(stream, bytes).is_ok()
}

#[test]
fn hosts_that_never_speak_ssh() {
    let stage = Stage::new();
    let bystander = Bystander::start(&stage.world);
    let ident = b"SSH-2.0-Evil\r\n";
    let welcome = "is no SSH server: it answers \"Welcome to this host.\"";
    stage.refused("text without end", welcome, |stream| {
        while write(stream, b"Welcome to this host.\r\n") {}
    });
    let long = "is no SSH server: it answers \"xxxxxxxx";
    stage.refused("a line without end", long, |stream| {
        while write(stream, &[b'x'; 1024]) {}
    });
    stage.refused(
        "an identification without end",
        "no SSH identification",
        |stream| {
            write(stream, b"SSH-2.0-");
            while write(stream, &[b'x'; 1024]) {}
        },
    );
    stage.refused("a packet of 4 GiB", "bad packet length", |stream| {
        write(stream, ident);
        write(stream, &[0xff; 64]);
    });
    stage.refused("new keys at once", "message 21 not expected", |stream| {
        write(stream, ident);
        write(stream, &Payload::new(NEWKEYS).in_the_clear());
    });
    // CVE-2023-48795
    stage.refused(
        "a packet in a strict key exchange",
        "message 2 not expected",
        |stream| {
            let key = ssh_key::PrivateKey::random(&mut rand::rng(), ssh_key::Algorithm::Ed25519);
            let key = rproxy::wire::HostKey::new(key.expect("entropy"), None).expect("a key");
            let config = rproxy::wire::ServerConfig::new(vec![key]);
            let mut transport = rproxy::wire::Transport::server(std::sync::Arc::new(config));
            write(stream, transport.output());
            write(stream, &Payload::new(IGNORE).string("").in_the_clear());
        },
    );
    bystander.unharmed();
}

#[test]
fn hosts_that_break_the_protocol() {
    let stage = Stage::new();
    let bystander = Bystander::start(&stage.world);
    stage.ends(
        "a wrong MAC",
        "authentication code incorrect",
        |host, channel| {
            host.send_damaged(&Payload::data(channel.recipient, b"x"), usize::MAX);
        },
    );
    stage.ends("a wrong length", "protocol error", |host, _channel| {
        host.send_raw(&[0xff; 512]);
    });
    stage.ends_unheard(
        "too much data",
        "data beyond the window",
        |host, channel| {
            for _ in 0..400 {
                let data = Payload::data(channel.recipient, &[0; 32 * 1024]);
                host.transport.send(&data.0).expect("a payload");
            }
            host.flush();
        },
    );
    stage.ends(
        "too large a piece of data",
        "data beyond the window",
        |host, channel| {
            host.send(&Payload::data(channel.recipient, &[0; 200_000]));
        },
    );
    stage.ends(
        "a window of 2^32",
        "a window of more than 4 GiB",
        |host, channel| {
            let _ = channel;
            host.send(&Payload::new(WINDOW_ADJUST).u32(0).u32(u32::MAX));
        },
    );
    stage.ends(
        "data for nobody",
        "channel 77, which does not exist",
        |host, _channel| {
            host.send(&Payload::data(77, b"x"));
        },
    );
    stage.ends(
        "a reply to nothing",
        "a reply to no request",
        |host, channel| {
            for _ in 0..50 {
                host.send(&Payload::new(SUCCESS).u32(channel.recipient));
            }
        },
    );
    stage.ends(
        "a global reply to nothing",
        "a reply to no request",
        |host, _channel| {
            for _ in 0..50 {
                host.send(&Payload::new(REQUEST_SUCCESS));
            }
        },
    );
    stage.ends(
        "data after the end",
        "data is out of order",
        |host, channel| {
            host.send(&Payload::new(EOF).u32(channel.recipient));
            host.send(&Payload::data(channel.recipient, b"x"));
        },
    );
    stage.ends(
        "closing what is closed",
        "which does not exist",
        |host, channel| {
            host.send(&Payload::new(CLOSE).u32(channel.recipient));
            host.send(&Payload::new(CLOSE).u32(channel.recipient));
        },
    );
    stage.ends(
        "channels without end",
        "too much that is not permitted",
        |host, _channel| {
            for number in 0..20_000 {
                let open = Payload::open("forwarded-tcpip", number, 1, 1 << 15).addresses();
                host.transport.send(&open.0).expect("a payload");
                if number % 1_000 == 0 && !host.flush() {
                    return;
                }
            }
            host.flush();
        },
    );
    stage.ends_unheard(
        "keepalives without end",
        "too many requests at once",
        |host, _channel| {
            let keepalive = Payload::new(GLOBAL_REQUEST)
                .string("keepalive@openssh.com")
                .flag(true);
            for _ in 0..5_000 {
                host.transport.send(&keepalive.0).expect("a payload");
            }
            host.flush();
        },
    );
    bystander.unharmed();
}

/// A host that announces its keys over and over, requests an answer each time, and reads none.
#[test]
fn host_keys_without_end() {
    let stage = Stage::new();
    let bystander = Bystander::start(&stage.world);
    let pid = stage.world.proxy_pid();
    let before = peak_of(pid);
    attack(
        &stage.world,
        "host keys without end",
        "too much that is not permitted",
        || {
            let outcome = stage.visit(|stream, key| {
                let mut host = Peer::host(stream, key);
                start(&mut host);
                let keys = Payload::new(GLOBAL_REQUEST)
                    .string("hostkeys-00@openssh.com")
                    .flag(true)
                    .string(vec![7; 8 * 1024]);
                while host.send(&keys) {}
            });
            assert_eq!(outcome.code(), 255, "{}", outcome.stderr);
        },
    );
    let grown = peak_of(pid) - before;
    println!("host keys without end: {grown} KiB held at most");
    assert!(grown < 32 * 1024, "{grown} KiB");
    bystander.unharmed();
}

/// A host that sends its user as much as the window allows, with very many ignored messages between
/// the bytes.
#[test]
fn bytes_of_a_host_keep_nothing_else() {
    let stage = Stage::new();
    let bystander = Bystander::start(&stage.world);
    let pid = stage.world.proxy_pid();
    let before = peak_of(pid);
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        let channel = start(&mut host);
        for _ in 0..1_000 {
            host.queue(&Payload::new(IGNORE).string(vec![0; 112 * 1024]));
            host.send(&Payload::data(channel.recipient, b"x"));
        }
        host.exit(channel, 0);
        host.end();
    });
    assert_eq!(outcome.success().text().len(), 1_000);
    let grown = peak_of(pid) - before;
    println!("bytes of a host: {grown} KiB held at most");
    assert!(grown < 32 * 1024, "{grown} KiB");
    bystander.unharmed();
}

/// Each channel that a host may not open is refused and audited; the session goes on.
#[test]
fn channels_that_nobody_asked_for() {
    let stage = Stage::new();
    let kinds = [
        "forwarded-tcpip",
        "auth-agent@openssh.com",
        "x11",
        "session",
    ];
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        let channel = start(&mut host);
        for (number, kind) in (40..).zip(kinds) {
            let open = Payload::open(kind, number, 1 << 20, 1 << 15);
            host.send(&if kind == "forwarded-tcpip" {
                open.addresses()
            } else {
                open
            });
            let failure = host.expect(&[OPEN_FAILURE]);
            assert_eq!(failure[1..5], number.to_be_bytes(), "{kind}");
        }
        host.send(&Payload::data(channel.recipient, b"done\n"));
        host.exit(channel, 7);
        host.end();
    });
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    assert_eq!(outcome.text(), "done\n");
    let audit = stage.world.audit();
    for kind in kinds {
        let refused = audit
            .iter()
            .any(|event| event["name"] == kind && event["from"] == "host");
        assert!(refused, "{kind}: {audit:#?}");
    }
    let recording = stage.world.finished_recording();
    assert_eq!(stage.world.exported(&recording, "stdout"), b"done\n");
}

/// Data before a command was started: the client does not get it, and the session works.
#[test]
fn data_before_the_session() {
    let stage = Stage::new();
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        host.welcome();
        let channel = host.queue_session(1 << 20, 1 << 15);
        host.send(&Payload::data(channel.recipient, b"early\n"));
        host.accept_start(channel);
        host.send(&Payload::data(channel.recipient, b"late\n"));
        host.exit(channel, 0);
        host.end();
    });
    assert_eq!(outcome.success().text(), "late\n");
    let recording = stage.world.finished_recording();
    assert_eq!(stage.world.exported(&recording, "stdout"), b"late\n");
}

/// The recording has the data that was shown before a violation, whatever came after it.
#[test]
fn nothing_shown_is_lost_when_the_host_misbehaves() {
    let stage = Stage::new();
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        let channel = start(&mut host);
        host.send(&Payload::data(channel.recipient, b"shown\n"));
        host.catch_up();
        // In one packet with data that the proxy must not relay.
        let data = Payload::data(channel.recipient, b"with it\n");
        host.transport.send(&data.0).expect("a payload");
        host.send(&Payload::data(99, b"x"));
        host.end();
    });
    assert_eq!(outcome.code(), 255);
    assert!(outcome.text().starts_with("shown\n"), "{}", outcome.text());
    let recording = stage.world.finished_recording();
    let recorded = stage.world.exported(&recording, "stdout");
    assert!(recorded.starts_with(&outcome.stdout), "{recording:#}");
    assert!(
        outcome.stderr.contains("broke the protocol"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn banners_without_end() {
    let stage = Stage::new();
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        host.establish();
        let banner = Payload::new(USERAUTH_BANNER).string("hello\r\n").string("");
        while host.send(&banner) {}
    });
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("banners without end"),
        "{}",
        outcome.stderr
    );
    let refusals = stage.world.refusals();
    assert_eq!(text(&refusals[0], "leg"), "host-authentication");
}

/// The text of a host's disconnect reaches the user's terminal, and does not act on it.
#[test]
fn last_words_that_paint_the_terminal() {
    let stage = Stage::new();
    let outcome = stage.visit(|stream, key| {
        let mut host = Peer::host(stream, key);
        start(&mut host);
        let reason = rproxy::wire::DisconnectReason::ByApplication;
        host.transport.disconnect(reason, "\x1b]0;owned\x07bye");
        host.flush();
        host.end();
    });
    assert_eq!(outcome.code(), 255);
    assert!(outcome.stderr.contains("]0;owned"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
    stage.ends(
        "a name with a command in it",
        "broke the protocol",
        |host, channel| {
            let request = Payload::new(REQUEST)
                .u32(channel.recipient)
                .string("\x1b[2Jevil@example.com")
                .flag(true);
            host.send(&request);
        },
    );
    assert!(!stage.world.proxy_log().contains('\x1b'));
}

/// A host that begins a key exchange and leaves it unfinished, while the client has very much to
/// send: the proxy buffers little of it, and loses nothing when the host goes on.
#[test]
fn a_key_exchange_that_takes_its_time() {
    const SIZE: usize = 48 << 20;
    let stage = Stage::new();
    stage.world.run("db1", "true").success();
    let before = stage.world.proxy_memory();
    let sent = crate::bulk::random(SIZE);
    let (report, during) = std::sync::mpsc::channel();
    let pid = stage.world.proxy_pid();
    let children = &stage.world.children;
    let outcome = stage.visit_with(sent.clone(), |stream, key| {
        let mut host = Peer::host(stream, key);
        host.welcome();
        let channel = host.accept_session(1 << 30, 1 << 15);
        host.accept_start(channel);
        host.transport.start_rekey().expect("keys are in use");
        host.flush();
        // Waits until the client has sent as much as the proxy reads.
        let rest = children.at_rest(|| memory_of(pid));
        assert!(rest.is_some(), "the proxy takes more and more");
        report.send(memory_of(pid)).expect("the test listens");
        let mut received = Vec::new();
        while let Some(packet) = host.packet() {
            match packet[0] {
                DATA => received.extend_from_slice(&packet[9..]),
                EOF => break,
                _ => {}
            }
        }
        assert!(received == sent, "{} bytes arrived", received.len());
        host.exit(channel, 7);
        host.end();
    });
    assert_eq!(outcome.code(), 7, "{}", outcome.stderr);
    let during = during.recv().expect("the host has looked");
    assert!(
        during < before + 24 * 1024,
        "{before} KiB, then {during} KiB"
    );
}

/// A host that accepts connections and sends nothing.
#[test]
fn a_silent_host() {
    let stage = Stage::with("upstream: { connect_timeout: 4s }");
    let outcome = stage.visit(|stream, _key| drain(stream));
    assert_eq!(outcome.code(), 255);
    assert!(
        outcome.stderr.contains("cannot reach evil"),
        "{}",
        outcome.stderr
    );
    stage.world.run("db1", "true").success();
}
