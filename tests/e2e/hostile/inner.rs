//! Hostile clients of the inner connection, with a real sshd behind the proxy: an honest `ssh` carries
//! their bytes.

use rproxy::wire::TransportEvent;

use crate::support::World;
use crate::support::children::Running;
use crate::support::client::ClientCommand;
use crate::support::double::{Channel, Peer, Pipes};
use crate::support::payload::{
    CLOSE, EOF, EXTENDED_DATA, OPEN_CONFIRMATION, Payload, REQUEST, REQUEST_SUCCESS, SUCCESS,
    WINDOW_ADJUST,
};
use crate::support::world::{User, login};

use super::{Bystander, attack};

/// A client behind an `ssh -s proxy:db1:22` of its own.
pub(crate) struct Inner {
    pub(crate) peer: Peer<Pipes>,
    _ssh: Running,
}

impl Inner {
    /// Connects and logs in.
    pub(crate) fn log_in(world: &World, host: &str) -> Self {
        let mut inner = Self::connect(world, host);
        inner.peer.log_in(&login(), &world.user.key);
        inner
    }

    /// The same as another user; or the proxy's message if the session does not begin.
    pub(crate) fn log_in_as(world: &World, other: &User, host: &str) -> Result<Self, String> {
        let mut inner = Self::through(world.outer_ssh_as(other), host);
        match inner.peer.event() {
            Some(TransportEvent::HostKey { .. }) => {
                let accepted = inner.peer.transport.accept_host_key();
                accepted.expect("it was asked");
            }
            Some(TransportEvent::Disconnected { text, .. }) => return Err(text),
            other => panic!("{other:?} at the beginning"),
        }
        inner.peer.log_in(&login(), &other.key);
        Ok(inner)
    }

    /// Connects only.
    pub(crate) fn connect(world: &World, host: &str) -> Self {
        Self::through(world.outer_ssh(), host)
    }

    fn through(ssh: ClientCommand<'_>, host: &str) -> Self {
        let (pipes, ssh) = ssh
            .args(["127.0.0.1", "-s", &format!("proxy:{host}:22")])
            .into_pipes();
        Self {
            peer: Peer::client(pipes),
            _ssh: ssh,
        }
    }
}

#[test]
fn clients_that_relay_to_a_host() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let ends = |name: &str, logged: &str, act: &dyn Fn(&mut Peer<Pipes>)| {
        attack(&world, name, logged, || {
            let mut inner = Inner::log_in(&world, "db1");
            act(&mut inner.peer);
            inner.peer.end();
        });
    };
    // `sshd` grants 2 MiB, and no more to a command that does not read.
    let sleeping = |peer: &mut Peer<Pipes>| -> Channel {
        let channel = peer.open_session(0, 1 << 20, 1 << 15);
        peer.exec(channel, "exec sleep 60");
        channel
    };
    ends("a wrong MAC", "authentication code incorrect", &|peer| {
        peer.send_damaged(&Payload::open("session", 0, 1, 1), usize::MAX);
    });
    ends("too much data", "data beyond the window", &|peer| {
        let channel = sleeping(peer);
        for _ in 0..200 {
            if !peer.send(&Payload::data(channel.recipient, &[0; 32 * 1024])) {
                return;
            }
        }
    });
    ends(
        "too large a piece of data",
        "data beyond the window",
        &|peer| {
            let channel = sleeping(peer);
            peer.send(&Payload::data(channel.recipient, &[0; 200_000]));
        },
    );
    ends("a window of 2^32", "a window of more than 4 GiB", &|peer| {
        let channel = sleeping(peer);
        for _ in 0..2 {
            peer.send(
                &Payload::new(WINDOW_ADJUST)
                    .u32(channel.recipient)
                    .u32(u32::MAX),
            );
        }
    });
    ends(
        "data for nobody",
        "channel 7, which does not exist",
        &|peer| {
            peer.send(&Payload::data(7, b"x"));
        },
    );
    ends(
        "a confirmation of nothing",
        "a reply to no request",
        &|peer| {
            peer.send(&Payload::new(OPEN_CONFIRMATION).u32(0).u32(0).u32(0).u32(1));
        },
    );
    ends("a reply to nothing", "a reply to no request", &|peer| {
        let channel = sleeping(peer);
        peer.send(&Payload::new(SUCCESS).u32(channel.recipient));
    });
    ends(
        "a global reply to nothing",
        "a reply to no request",
        &|peer| {
            peer.send(&Payload::new(REQUEST_SUCCESS));
        },
    );
    ends("data after the end", "data is out of order", &|peer| {
        let channel = sleeping(peer);
        peer.send(&Payload::new(EOF).u32(channel.recipient));
        peer.send(&Payload::data(channel.recipient, b"x"));
    });
    ends("a second end", "an EOF is out of order", &|peer| {
        let channel = sleeping(peer);
        peer.send(&Payload::new(EOF).u32(channel.recipient));
        peer.send(&Payload::new(EOF).u32(channel.recipient));
    });
    ends("words after closing", "which does not exist", &|peer| {
        let channel = sleeping(peer);
        peer.send(&Payload::new(CLOSE).u32(channel.recipient));
        peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    });
    ends(
        "a request that is cut short",
        "the client broke the protocol",
        &|peer| {
            let channel = peer.open_session(0, 1 << 20, 1 << 15);
            peer.send(
                &Payload::new(REQUEST)
                    .u32(channel.recipient)
                    .string("exec")
                    .flag(true),
            );
        },
    );
    ends(
        "channels without end",
        "too much that is not permitted",
        &|peer| {
            for number in 0..20_000 {
                let open = Payload::open("bogus@example.com", number, 1, 1 << 15);
                peer.transport.send(&open.0).expect("a payload");
                if number % 1_000 == 0 && !peer.flush() {
                    return;
                }
            }
            peer.flush();
        },
    );
    ends(
        "signals without end",
        "too many requests at once",
        &|peer| {
            let channel = sleeping(peer);
            for _ in 0..5_000 {
                let keepalive = Payload::new(REQUEST)
                    .u32(channel.recipient)
                    .string("keepalive@openssh.com")
                    .flag(true);
                peer.transport.send(&keepalive.0).expect("a payload");
            }
            peer.flush();
        },
    );
    bystander.unharmed();
}

/// Extended data from a client has no meaning: it is dropped and audited, the session goes on.
#[test]
fn extended_data_goes_nowhere() {
    let world = World::new();
    let mut inner = Inner::log_in(&world, "db1");
    let channel = inner.peer.open_session(0, 1 << 20, 1 << 15);
    inner.peer.exec(channel, "cat");
    let data = Payload::new(EXTENDED_DATA).u32(channel.recipient).u32(1);
    inner.peer.send(&data.string("hidden"));
    inner.peer.send(&Payload::data(channel.recipient, b"seen"));
    inner.peer.send(&Payload::new(EOF).u32(channel.recipient));
    let data = inner.peer.expect(&[crate::support::payload::DATA]);
    assert_eq!(data[9..], *b"seen");
    inner.peer.expect(&[CLOSE]);
    inner.peer.send(&Payload::new(CLOSE).u32(channel.recipient));
    drop(inner);
    let recording = world.finished_recording();
    assert_eq!(world.exported(&recording, "stdin"), b"seen");
    let audited = world
        .audit()
        .iter()
        .any(|event| event["name"] == "extended data 1");
    assert!(audited, "{:#?}", world.audit());
}

/// The handshake in single bytes, and cut off after any number of them.
#[test]
fn a_handshake_in_pieces() {
    let world = World::new();
    let bystander = Bystander::start(&world);
    let mut client = Peer::connect(world.address());
    let bytes = client.transport.output().split().to_vec();
    for byte in &bytes {
        client.send_raw(&[*byte]);
    }
    client.log_in(&login(), &world.user.key);
    client.open_session(0, 1, 1);

    for cut in [0, 1, 4, 10, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
        let mut client = Peer::connect(world.address());
        client.send_raw(&bytes[..cut]);
        client
            .stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut client.stream, &mut rest).expect("it hangs up");
    }
    bystander.unharmed();
}
