//! The relay between two well-behaved peers in any order of events, and against peers that are not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::message::{Head, Message, Name, OpenFailure, STDERR};
use super::table::{MessageRow, NameContext, TABLE, Verdict};
use super::{
    Breach, ChannelKey, Destination, Exit, KEEP_ALIVE, Kind, Note, Outgoing, Peers, RefusedMessage,
    Relay, RelayedMessage, Side, Start, Stream, Tap, Value,
};
use crate::access::{Direction, NamePatterns, Permissions};

mod crossing;

/// Remembers what it saw; refuses sessions when told to.
#[derive(Debug, Default)]
struct Witness {
    starts: Vec<(u32, Kind)>,
    forwards: Vec<(u32, String)>,
    bytes: BTreeMap<(u32, &'static str), Vec<u8>>,
    refused: Vec<String>,
    closed: Vec<u32>,
    exits: Vec<Exit>,
    refuses: bool,
    /// Everything that it was shown beside the bytes, in pieces.
    shown: Vec<Value>,
    /// Channels on which nothing began.
    abandoned: usize,
}

impl Witness {
    fn text(&mut self, bytes: &Bytes) {
        self.shown.push(Value::Text(bytes.clone()));
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.shown
            .extend(numbers.iter().copied().map(Value::Number));
    }

    fn request(&mut self, request: &RelayedMessage) {
        let values = request.fields.iter().map(|(_, value)| value.clone());
        self.shown.extend(values);
    }

    fn begun(&mut self, start: &Start) {
        if let Kind::Exec(text) | Kind::Subsystem(text) = &start.kind {
            self.text(text);
        }
        for (name, value) in &start.environment {
            self.text(name);
            self.text(value);
        }
        for request in &start.asked {
            self.request(request);
        }
    }
}

impl Tap for Witness {
    fn start(&mut self, channel: ChannelKey, start: &Start) -> Result<(), String> {
        self.starts.push((channel.0, start.kind.clone()));
        self.begun(start);
        if self.refuses {
            Err("no space left".to_owned())
        } else {
            Ok(())
        }
    }

    fn forward(&mut self, channel: ChannelKey, destination: &Destination) -> Result<(), String> {
        self.forwards.push((channel.0, destination.address()));
        match destination {
            Destination::Tcp { host, port } | Destination::ListeningTcp { host, port } => {
                self.text(host);
                self.numbers(&[*port]);
            }
            Destination::Unix(path) | Destination::ListeningUnix(path) => {
                self.text(path);
            }
            Destination::X11 | Destination::Agent => {}
        }
        if self.refuses {
            Err("no space left".to_owned())
        } else {
            Ok(())
        }
    }

    fn data(&mut self, channel: ChannelKey, stream: Stream, bytes: &[u8]) {
        let name = match stream {
            Stream::Stdin => "stdin",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        self.bytes
            .entry((channel.0, name))
            .or_default()
            .extend_from_slice(bytes);
    }

    fn global(&mut self, request: &RelayedMessage) -> Result<(), String> {
        self.request(request);
        if self.refuses {
            Err("no space left".to_owned())
        } else {
            Ok(())
        }
    }

    fn abandoned(&mut self, asked: &Start) {
        self.abandoned += 1;
        self.begun(asked);
    }

    fn resize(&mut self, _channel: ChannelKey, columns: u32, rows: u32) {
        self.numbers(&[columns, rows]);
    }

    fn note(&mut self, _channel: ChannelKey, note: &Note) {
        if let Note::Request(request) = note {
            self.request(request);
        }
    }

    fn exit(&mut self, _channel: ChannelKey, exit: &Exit) {
        self.exits.push(exit.clone());
        match exit {
            Exit::Status(status) => self.numbers(&[*status]),
            Exit::Signal {
                name,
                core_dumped,
                message,
            } => {
                self.text(name);
                self.text(message);
                self.shown.push(Value::Flag(*core_dumped));
            }
        }
    }

    fn closed(&mut self, channel: ChannelKey) {
        self.closed.push(channel.0);
    }

    fn refused(&mut self, refused: RefusedMessage<'_>) {
        self.refused
            .push(format!("{:?} {}", refused.what, refused.name));
    }
}

/// A relay with the messages that are under way on both sides.
#[derive(Debug, Default)]
struct World {
    relay: Relay,
    witness: Witness,
    to_client: VecDeque<Message>,
    to_host: VecDeque<Message>,
}

impl World {
    fn say(&mut self, from: Side, message: &Message) -> Result<(), Breach> {
        let (head, body) = message.encode();
        let payload = Bytes::from([head.as_slice(), &body].concat());
        let mut out = Vec::new();
        self.relay
            .on_packet(from, &payload, &mut self.witness, &mut out)
            .map_err(|violation| violation.what)?;
        for Outgoing { to, message } in out {
            self.under_way(to).push_back(message);
        }
        Ok(())
    }

    fn under_way(&mut self, to: Side) -> &mut VecDeque<Message> {
        match to {
            Side::Client => &mut self.to_client,
            Side::Host => &mut self.to_host,
        }
    }

    /// Opens channel 7 of the client as channel 9 of the host, and starts a command on it.
    fn with_session() -> Self {
        let mut world = Self::default();
        world.say(Side::Client, &open(7)).unwrap();
        world.say(Side::Host, &confirm(0, 9)).unwrap();
        world
            .say(
                Side::Client,
                &request("exec", Head::of_data().string(b"cat")),
            )
            .unwrap();
        world
            .say(Side::Host, &Message::Success { recipient: 0 })
            .unwrap();
        world.to_client.clear();
        world.to_host.clear();
        world
    }
}

fn open(sender: u32) -> Message {
    let kind = Name::from_static("session");
    Message::Open {
        kind,
        sender,
        window: 1000,
        max_packet: 100,
        data: Bytes::new(),
    }
}

fn confirm(recipient: u32, sender: u32) -> Message {
    let (window, max_packet, data) = (1000, 100, Bytes::new());
    Message::OpenConfirmation {
        recipient,
        sender,
        window,
        max_packet,
        data,
    }
}

fn request(kind: &'static str, data: Head) -> Message {
    let kind = Name::from_static(kind);
    Message::Request {
        recipient: 0,
        kind,
        want_reply: true,
        data: data.into_bytes(),
    }
}

fn data(recipient: u32, length: usize) -> Message {
    Message::Data {
        recipient,
        data: vec![7; length].into(),
    }
}

#[test]
fn numbers_are_mapped_and_grants_pass_through() {
    let mut world = World::with_session();
    world.say(Side::Client, &data(0, 10)).unwrap();
    world
        .say(
            Side::Client,
            &Message::WindowAdjust {
                recipient: 0,
                bytes: 5,
            },
        )
        .unwrap();
    world.say(Side::Host, &data(0, 20)).unwrap();
    assert_eq!(
        world.to_host,
        [
            data(9, 10),
            Message::WindowAdjust {
                recipient: 9,
                bytes: 5
            }
        ]
    );
    assert_eq!(world.to_client, [data(7, 20)]);
}

#[test]
fn there_is_room_for_last_words_where_the_client_has_granted_it() {
    assert!(Relay::default().has_room_for(1), "nobody is to be told");
    let mut world = World::with_session();
    assert!(world.relay.has_room_for(1000));
    assert!(!world.relay.has_room_for(1001));
    for _ in 0..10 {
        world.say(Side::Host, &data(0, 100)).unwrap();
    }
    assert!(!world.relay.has_room_for(1), "a download takes all of it");
    let (recipient, bytes) = (0, 50);
    let granted = Message::WindowAdjust { recipient, bytes };
    world.say(Side::Client, &granted).unwrap();
    assert!(world.relay.has_room_for(50));
    assert!(!world.relay.has_room_for(51));
    let mut out = Vec::new();
    world.relay.end_all("goodbye", &mut out);
    assert!(world.relay.has_room_for(51), "who was told needs none");
}

#[test]
fn the_host_is_told_nothing_before_the_recording_stands() {
    let mut world = World {
        witness: Witness {
            refuses: true,
            ..Witness::default()
        },
        ..World::default()
    };
    world.say(Side::Client, &open(7)).unwrap();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    world.to_client.clear();
    world.to_host.clear();
    world
        .say(Side::Client, &request("shell", Head::of_data()))
        .unwrap();
    assert_eq!(world.to_host, [Message::Close { recipient: 9 }]);
    let status = Message::Request {
        recipient: 7,
        kind: Name::from_static("exit-status"),
        want_reply: false,
        data: Head::of_data().uint32(255).into_bytes(),
    };
    assert_eq!(
        world.to_client,
        [
            Message::Success { recipient: 7 },
            Message::ExtendedData {
                recipient: 7,
                code: STDERR,
                data: Bytes::from_static(b"no space left")
            },
            status,
            Message::Eof { recipient: 7 },
            Message::Close { recipient: 7 },
        ]
    );
    world.say(Side::Client, &data(0, 10)).unwrap();
    world
        .say(Side::Client, &Message::Close { recipient: 0 })
        .unwrap();
    world
        .say(Side::Host, &Message::Close { recipient: 0 })
        .unwrap();
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn replies_keep_the_order_of_their_requests() {
    let mut world = World::with_session();
    let keepalive = request("keepalive@openssh.com", Head::of_data());
    world.say(Side::Client, &keepalive).unwrap();
    world
        .say(Side::Client, &request("x11-req", Head::of_data()))
        .unwrap();
    world.say(Side::Client, &keepalive).unwrap();
    assert!(
        world.to_client.is_empty(),
        "the refusal must wait for the first answer"
    );
    world
        .say(Side::Host, &Message::Success { recipient: 0 })
        .unwrap();
    world
        .say(Side::Host, &Message::Failure { recipient: 0 })
        .unwrap();
    assert_eq!(
        world.to_client,
        [
            Message::Success { recipient: 7 },
            Message::Failure { recipient: 7 },
            Message::Failure { recipient: 7 },
        ]
    );
    assert_eq!(world.witness.refused, ["ChannelRequest x11-req"]);
}

#[test]
fn what_the_table_does_not_name_is_refused_by_name() {
    let mut world = World::with_session();
    let kind = Name::from_static("tun@openssh.com");
    world
        .say(
            Side::Client,
            &Message::Open {
                kind,
                sender: 8,
                window: 1,
                max_packet: 1,
                data: Bytes::new(),
            },
        )
        .unwrap();
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { recipient: 8, reason, .. })
            if reason == OpenFailure::AdministrativelyProhibited as u32
    ));
    let kind = Name::from_static("x11");
    world
        .say(
            Side::Host,
            &Message::Open {
                kind,
                sender: 5,
                window: 1,
                max_packet: 1,
                data: Head::of_data()
                    .string(b"localhost")
                    .uint32(6000)
                    .into_bytes(),
            },
        )
        .unwrap();
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::OpenFailure { recipient: 5, .. })
    ));
    let name = Name::from_static("hostkeys-prove-00@openssh.com");
    world
        .say(
            Side::Client,
            &Message::GlobalRequest {
                name,
                want_reply: true,
                data: Bytes::new(),
            },
        )
        .unwrap();
    assert_eq!(world.to_client, [Message::RequestFailure]);
    world
        .say(
            Side::Client,
            &request("exec", Head::of_data().string(b"sh")),
        )
        .unwrap();
    assert_eq!(
        world.witness.refused,
        [
            "Channel tun@openssh.com",
            "Channel x11",
            "GlobalRequest hostkeys-prove-00@openssh.com",
            "ChannelRequest exec"
        ]
    );
    assert!(world.to_host.is_empty());
    assert_eq!(
        world.witness.starts.len(),
        1,
        "the second exec must not start anything"
    );
}

#[test]
fn host_keys_are_kept_from_the_client_in_silence() {
    let mut world = World::default();
    let name = Name::from_static("hostkeys-00@openssh.com");
    world
        .say(
            Side::Host,
            &Message::GlobalRequest {
                name,
                want_reply: false,
                data: Bytes::new(),
            },
        )
        .unwrap();
    assert!(world.to_client.is_empty() && world.to_host.is_empty());
    assert!(world.witness.refused.is_empty());
}

#[test]
fn data_before_a_session_goes_nowhere_and_is_audited_once() {
    let mut world = World::default();
    world.say(Side::Client, &open(7)).unwrap();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    world.to_host.clear();
    world.say(Side::Client, &data(0, 10)).unwrap();
    world.say(Side::Client, &data(0, 10)).unwrap();
    assert!(world.to_host.is_empty());
    assert_eq!(world.witness.refused, ["Data before the session"]);
}

#[test]
fn peers_that_break_the_protocol_are_named() {
    type Case = (Side, Message, Breach);
    let success = Message::Success { recipient: 0 };
    let cases: [Case; 10] = [
        (Side::Client, data(0, 101), Breach::Overrun),
        (Side::Host, data(3, 1), Breach::NoChannel(3)),
        (Side::Host, success.clone(), Breach::Reply),
        (Side::Client, success, Breach::Reply),
        (Side::Host, Message::RequestFailure, Breach::Reply),
        (Side::Host, confirm(0, 1), Breach::Reply),
        (Side::Client, confirm(0, 1), Breach::Reply),
        (
            Side::Client,
            Message::WindowAdjust {
                recipient: 0,
                bytes: u32::MAX,
            },
            Breach::Window,
        ),
        (
            Side::Host,
            Message::Eof { recipient: 1 },
            Breach::NoChannel(1),
        ),
        (
            Side::Host,
            Message::OpenFailure {
                recipient: 0,
                reason: 1,
                text: Bytes::new(),
                language: Bytes::new(),
            },
            Breach::Reply,
        ),
    ];
    for (from, message, breach) in cases {
        let mut world = World::with_session();
        assert_eq!(
            world.say(from, &message),
            Err(breach),
            "{message:?} from {from}"
        );
    }
}

#[test]
fn the_window_is_counted_over_messages() {
    let mut world = World::with_session();
    for _ in 0..10 {
        world.say(Side::Client, &data(0, 100)).unwrap();
    }
    assert_eq!(world.say(Side::Client, &data(0, 1)), Err(Breach::Overrun));
}

#[test]
fn nothing_follows_an_eof_or_a_close() {
    let mut world = World::with_session();
    world
        .say(Side::Client, &Message::Eof { recipient: 0 })
        .unwrap();
    assert_eq!(
        world.say(Side::Client, &data(0, 1)),
        Err(Breach::Order("data"))
    );
    let mut world = World::with_session();
    world
        .say(Side::Client, &Message::Close { recipient: 0 })
        .unwrap();
    assert_eq!(
        world.say(Side::Client, &data(0, 1)),
        Err(Breach::NoChannel(0))
    );
}

/// A client whose streams have both ended closes before the command has ended.
#[test]
fn how_a_session_ended_reaches_a_client_that_has_closed() {
    let mut world = World::with_session();
    world
        .say(Side::Host, &Message::Eof { recipient: 0 })
        .unwrap();
    world
        .say(Side::Client, &Message::Close { recipient: 0 })
        .unwrap();
    world.to_client.clear();
    let status = Message::Request {
        recipient: 0,
        kind: Name::from_static("exit-status"),
        want_reply: false,
        data: Head::of_data().uint32(3).into_bytes(),
    };
    world.say(Side::Host, &status).unwrap();
    assert!(
        matches!(
            world.to_client.pop_front(),
            Some(Message::Request { recipient: 7, .. })
        ),
        "the client waits for it until the host closes too"
    );
}

#[test]
fn floods_of_requests_and_channels_end() {
    let mut world = World::with_session();
    let keepalive = request("keepalive@openssh.com", Head::of_data());
    let flood = (0..1_000).find_map(|_| world.say(Side::Client, &keepalive).err());
    assert_eq!(flood, Some(Breach::TooManyRequests));
    let mut world = World::default();
    for sender in 0..2_000 {
        world.say(Side::Client, &open(sender)).unwrap();
    }
    assert_eq!(world.relay.channels(), 10, "sshd's default MaxSessions");
}

#[test]
fn what_is_refused_is_not_refused_for_ever() {
    for from in [Side::Client, Side::Host] {
        let mut world = World::with_session();
        let bogus = Message::GlobalRequest {
            name: Name::from_static("bogus@example.com"),
            want_reply: false,
            data: Bytes::new(),
        };
        let refused = (0..20_000).find_map(|_| world.say(from, &bogus).err());
        assert_eq!(refused, Some(Breach::TooMuchRefused), "{from}");
    }
}

#[test]
fn a_promise_of_no_more_sessions_is_kept() {
    let mut world = World::with_session();
    let name = Name::from_static("no-more-sessions@openssh.com");
    world
        .say(
            Side::Client,
            &Message::GlobalRequest {
                name,
                want_reply: false,
                data: Bytes::new(),
            },
        )
        .unwrap();
    world.to_host.clear();
    world.say(Side::Client, &open(8)).unwrap();
    assert!(world.to_host.is_empty());
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { .. })
    ));
}

fn direct_tcpip(sender: u32, host: &str, port: u32) -> Message {
    let data = Head::of_data().string(host.as_bytes()).uint32(port);
    let data = data.string(b"127.0.0.1").uint32(4711).into_bytes();
    let kind = Name::from_static("direct-tcpip");
    Message::Open {
        kind,
        sender,
        window: 1000,
        max_packet: 100,
        data,
    }
}

fn forwarded_tcpip(sender: u32, host: &str, port: u32) -> Message {
    match direct_tcpip(sender, host, port) {
        Message::Open {
            window,
            max_packet,
            data,
            ..
        } => {
            let kind = Name::from_static("forwarded-tcpip");
            Message::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            }
        }
        other => other,
    }
}

fn global(name: &'static str, data: Head) -> Message {
    let (name, data) = (Name::from_static(name), data.into_bytes());
    Message::GlobalRequest {
        name,
        want_reply: true,
        data,
    }
}

fn world_with(permissions: Permissions) -> World {
    World {
        relay: Relay::new(Peers::default(), Arc::new(permissions)),
        ..World::default()
    }
}

#[test]
fn a_permitted_forward_is_relayed_and_seen() {
    let mut world = World::default();
    world
        .say(Side::Client, &direct_tcpip(3, "localhost", 80))
        .unwrap();
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::Open { sender: 0, .. })
    ));
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    world.say(Side::Client, &data(0, 5)).unwrap();
    world.say(Side::Host, &data(0, 6)).unwrap();
    assert_eq!(world.to_host, [data(9, 5)]);
    assert_eq!(world.to_client.pop_back(), Some(data(3, 6)));
    assert_eq!(world.witness.forwards, [(0, "localhost:80".to_owned())]);
    assert_eq!(world.witness.bytes[&(0, "stdin")].len(), 5);
    assert_eq!(world.witness.bytes[&(0, "stdout")].len(), 6);
    world
        .say(Side::Client, &Message::Close { recipient: 0 })
        .unwrap();
    world
        .say(Side::Host, &Message::Close { recipient: 0 })
        .unwrap();
    assert_eq!((world.witness.closed, world.relay.channels()), (vec![0], 0));
}

#[test]
fn a_forward_without_a_recording_is_not_opened() {
    let mut world = World {
        witness: Witness {
            refuses: true,
            ..Witness::default()
        },
        ..World::default()
    };
    world
        .say(Side::Client, &direct_tcpip(3, "localhost", 80))
        .unwrap();
    assert!(world.to_host.is_empty());
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { recipient: 3, .. })
    ));
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn ssh_inside_a_forward_ends_it_from_either_side() {
    for from in [Side::Client, Side::Host] {
        let mut world = World::default();
        world
            .say(Side::Client, &direct_tcpip(3, "localhost", 22))
            .unwrap();
        world.say(Side::Host, &confirm(0, 9)).unwrap();
        world.to_client.clear();
        world.to_host.clear();
        for piece in [&b"SSH"[..], b"-2.0-OpenSSH_9"] {
            let data = Bytes::copy_from_slice(piece);
            world
                .say(from, &Message::Data { recipient: 0, data })
                .unwrap();
        }
        assert_eq!(
            world.to_client.pop_back(),
            Some(Message::Close { recipient: 3 })
        );
        assert_eq!(
            world.to_host.pop_back(),
            Some(Message::Close { recipient: 9 })
        );
        assert_eq!(world.witness.refused, ["Data nested SSH"]);
        assert_eq!(world.witness.closed, [0]);
    }
    let mut world = world_with(Permissions {
        nested_ssh: true,
        ..Permissions::default()
    });
    world
        .say(Side::Client, &direct_tcpip(3, "localhost", 22))
        .unwrap();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    let data = Bytes::from_static(b"SSH-2.0-x");
    world
        .say(Side::Client, &Message::Data { recipient: 0, data })
        .unwrap();
    assert!(world.witness.refused.is_empty());
}

#[test]
fn forwards_that_the_permit_does_not_have_are_refused() {
    let none = Permissions {
        port_forwarding: Direction::Neither,
        streamlocal: Direction::Neither,
        agent: false,
        ..Permissions::default()
    };
    let mut world = world_with(none);
    world
        .say(Side::Client, &direct_tcpip(3, "localhost", 80))
        .unwrap();
    let listen = Head::of_data().string(b"").uint32(8080);
    world
        .say(Side::Client, &global("tcpip-forward", listen))
        .unwrap();
    let listen = Head::of_data().string(b"/tmp/socket");
    world
        .say(
            Side::Client,
            &global("streamlocal-forward@openssh.com", listen),
        )
        .unwrap();
    assert!(world.to_host.is_empty());
    assert!(world.witness.forwards.is_empty());
    assert_eq!(
        world.witness.refused,
        [
            "Channel direct-tcpip",
            "GlobalRequest tcpip-forward",
            "GlobalRequest streamlocal-forward@openssh.com",
        ]
    );
}

#[test]
fn the_host_opens_only_what_the_client_has_asked_for() {
    let mut world = World::default();
    world
        .say(Side::Host, &forwarded_tcpip(4, "localhost", 8080))
        .unwrap();
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::OpenFailure { recipient: 4, .. })
    ));

    let listen = Head::of_data().string(b"localhost").uint32(0);
    world
        .say(Side::Client, &global("tcpip-forward", listen))
        .unwrap();
    let data = Head::of_data().uint32(40_000).into_bytes();
    world
        .say(Side::Host, &Message::RequestSuccess { data })
        .unwrap();
    world.to_client.clear();
    world
        .say(Side::Host, &forwarded_tcpip(4, "localhost", 40_001))
        .unwrap();
    assert!(world.to_client.is_empty());
    world
        .say(Side::Host, &forwarded_tcpip(4, "localhost", 40_000))
        .unwrap();
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::Open { .. })
    ));
    assert_eq!(world.witness.forwards, [(0, "localhost:40000".to_owned())]);

    let cancel = Head::of_data().string(b"localhost").uint32(40_000);
    world
        .say(Side::Client, &global("cancel-tcpip-forward", cancel))
        .unwrap();
    world
        .say(Side::Host, &forwarded_tcpip(5, "localhost", 40_000))
        .unwrap();
    assert!(world.to_client.is_empty(), "the listener was cancelled");
}

#[test]
fn the_agent_is_opened_only_after_it_was_forwarded() {
    let agent = |sender| {
        let kind = Name::from_static("auth-agent@openssh.com");
        Message::Open {
            kind,
            sender,
            window: 10,
            max_packet: 10,
            data: Bytes::new(),
        }
    };
    let mut world = World::default();
    world.say(Side::Client, &open(7)).unwrap();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    world.to_client.clear();
    world.say(Side::Host, &agent(1)).unwrap();
    assert!(world.to_client.is_empty());
    world
        .say(
            Side::Client,
            &request("auth-agent-req@openssh.com", Head::of_data()),
        )
        .unwrap();
    world.say(Side::Host, &agent(1)).unwrap();
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::Open { .. })
    ));
}

/// RFC 9987 has names of its own: each side is spoken to by those that it knows.
#[test]
fn the_agent_goes_by_the_name_that_each_side_knows() {
    const REQUESTS: [&str; 2] = ["auth-agent-req@openssh.com", "agent-req"];
    const CHANNELS: [&str; 2] = ["auth-agent@openssh.com", "agent-connect"];
    for (by_client, by_host) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let peers = Peers {
            host_knows_agent_req: by_host == 1,
            ..Peers::default()
        };
        let mut world = World {
            relay: Relay::new(peers, Arc::default()),
            ..World::default()
        };
        world.say(Side::Client, &open(7)).unwrap();
        world.say(Side::Host, &confirm(0, 9)).unwrap();
        world.to_host.clear();
        world.to_client.clear();
        let asked = request(REQUESTS[by_client], Head::of_data());
        world.say(Side::Client, &asked).unwrap();
        let Some(Message::Request { kind, .. }) = world.to_host.pop_front() else {
            panic!("nothing asked");
        };
        assert_eq!(kind.as_str(), REQUESTS[by_host]);
        let agent = Message::Open {
            kind: Name::from_static(CHANNELS[by_host]),
            sender: 1,
            window: 10,
            max_packet: 10,
            data: Bytes::new(),
        };
        world.say(Side::Host, &agent).unwrap();
        let Some(Message::Open { kind, .. }) = world.to_client.pop_front() else {
            panic!("nothing opened");
        };
        assert_eq!(kind.as_str(), CHANNELS[by_client]);
    }
}

#[test]
fn the_environment_passes_the_list() {
    let mut world = World::default();
    world.say(Side::Client, &open(7)).unwrap();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    world.to_host.clear();
    for (name, passes) in [
        ("LC_ALL", true),
        ("LD_PRELOAD", false),
        ("LANG", true),
        ("PATH", false),
    ] {
        let variable = Head::of_data().string(name.as_bytes()).string(b"x");
        world.say(Side::Client, &request("env", variable)).unwrap();
        assert_eq!(world.to_host.pop_front().is_some(), passes, "{name}");
    }
}

impl World {
    /// Puts other permissions in force; how much has ended by that.
    fn permit(&mut self, permissions: Permissions) -> usize {
        let mut out = Vec::new();
        let permissions = Arc::new(permissions);
        let ended = self.relay.permit(permissions, &mut self.witness, &mut out);
        for Outgoing { to, message } in out {
            self.under_way(to).push_back(message);
        }
        ended
    }

    /// A forward of the client, channel 3 there and 9 at the host.
    fn with_forward(permissions: Permissions) -> Self {
        let mut world = world_with(permissions);
        world
            .say(Side::Client, &direct_tcpip(3, "localhost", 80))
            .unwrap();
        world.say(Side::Host, &confirm(0, 9)).unwrap();
        world.to_client.clear();
        world.to_host.clear();
        world
    }
}

fn no_forwards() -> Permissions {
    Permissions {
        port_forwarding: Direction::Neither,
        streamlocal: Direction::Neither,
        agent: false,
        ..Permissions::default()
    }
}

#[test]
fn a_forward_that_is_no_longer_permitted_is_closed_on_both_sides() {
    let mut world = World::with_forward(Permissions::default());
    assert_eq!(world.permit(Permissions::default()), 0);
    assert_eq!(world.permit(no_forwards()), 1);
    assert_eq!(world.to_client, [Message::Close { recipient: 3 }]);
    assert_eq!(world.to_host, [Message::Close { recipient: 9 }]);
    assert_eq!(world.witness.refused, ["Channel direct-tcpip"]);
    assert_eq!(world.witness.closed, [0]);
    world.to_client.clear();
    world
        .say(Side::Client, &direct_tcpip(4, "localhost", 80))
        .unwrap();
    let refused = world.to_client.pop_front();
    assert!(matches!(
        refused,
        Some(Message::OpenFailure { recipient: 4, .. })
    ));
    assert_eq!(world.permit(Permissions::default()), 0);
    world.to_host.clear();
    world
        .say(Side::Client, &direct_tcpip(5, "localhost", 80))
        .unwrap();
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::Open { .. })
    ));
}

#[test]
fn forwarding_that_was_stopped_stays_so_whatever_is_permitted_then() {
    let mut world = World::with_forward(Permissions::default());
    let place = Head::of_data().string(b"localhost").uint32(8080);
    world
        .say(Side::Client, &global("tcpip-forward", place))
        .unwrap();
    let success = Message::RequestSuccess { data: Bytes::new() };
    world.say(Side::Host, &success).unwrap();
    world.to_client.clear();
    let mut out = Vec::new();
    let ended = world.relay.stop_forwarding(&mut world.witness, &mut out);
    assert_eq!(ended, 2, "a channel and a listener");
    assert_eq!(world.witness.closed, [0]);
    let cancelled = out.iter().any(|one| {
        matches!(&one.message, Message::GlobalRequest { name, .. } if name.as_str() == "cancel-tcpip-forward")
    });
    assert!(cancelled, "{out:?}");
    assert_eq!(world.permit(Permissions::default()), 0);
    world
        .say(Side::Client, &direct_tcpip(4, "localhost", 80))
        .unwrap();
    let refused = world.to_client.pop_front();
    assert!(matches!(
        refused,
        Some(Message::OpenFailure { recipient: 4, .. })
    ));
}

/// One of two sessions is ended: its user reads why, both sides are told to close, and what still
/// arrives for it goes nowhere. The other one goes on.
#[test]
fn one_session_ends_and_its_neighbour_goes_on() {
    let mut world = World::with_session();
    world.say(Side::Client, &open(8)).unwrap();
    world.say(Side::Host, &confirm(1, 10)).unwrap();
    let start = Message::Request {
        recipient: 1,
        kind: Name::from_static("shell"),
        want_reply: false,
        data: Bytes::new(),
    };
    world.say(Side::Client, &start).unwrap();
    world.to_client.clear();
    world.to_host.clear();

    let mut out = Vec::new();
    world.relay.end_session(ChannelKey(0), "why", &mut out);
    let (to_client, to_host): (Vec<_>, Vec<_>) =
        out.into_iter().partition(|one| one.to == Side::Client);
    assert_eq!(to_host.len(), 1);
    assert_eq!(to_host[0].message, Message::Close { recipient: 9 });
    assert!(
        matches!(&to_client[0].message, Message::ExtendedData { recipient: 7, data, .. } if data == "why"),
        "{to_client:?}"
    );
    let last = to_client.last().map(|one| &one.message);
    assert_eq!(last, Some(&Message::Close { recipient: 7 }));

    world.say(Side::Host, &data(0, 5)).unwrap();
    assert_eq!(world.to_client.pop_front(), None);
    world.say(Side::Host, &data(1, 5)).unwrap();
    let passed = world.to_client.pop_front();
    assert!(matches!(passed, Some(Message::Data { recipient: 8, .. })));
    // Ended is ended.
    let mut out = Vec::new();
    world.relay.end_session(ChannelKey(0), "why", &mut out);
    assert_eq!(out, []);
    assert_eq!(world.relay.sessions(), 2);
    for side in [Side::Host, Side::Client] {
        world.say(side, &Message::Close { recipient: 0 }).unwrap();
    }
    assert_eq!(world.relay.sessions(), 1);
    assert!(world.witness.closed.is_empty(), "the tap knows already");
}

#[test]
fn a_forward_that_was_being_opened_ends_once_it_is() {
    let mut world = World::default();
    world
        .say(Side::Client, &direct_tcpip(3, "localhost", 80))
        .unwrap();
    assert_eq!(world.permit(no_forwards()), 0);
    world.to_host.clear();
    world.say(Side::Host, &confirm(0, 9)).unwrap();
    assert_eq!(
        world.to_client.pop_back(),
        Some(Message::Close { recipient: 3 })
    );
    assert_eq!(world.to_host, [Message::Close { recipient: 9 }]);
}

#[test]
fn listeners_that_are_no_longer_permitted_are_cancelled() {
    let listen = |port| {
        let place = Head::of_data().string(b"localhost").uint32(port);
        global("tcpip-forward", place)
    };
    let cancel = |port| Message::GlobalRequest {
        name: Name::from_static("cancel-tcpip-forward"),
        want_reply: false,
        data: Head::of_data()
            .string(b"localhost")
            .uint32(port)
            .into_bytes(),
    };
    let success = Message::RequestSuccess { data: Bytes::new() };
    let mut world = World::default();
    world.say(Side::Client, &listen(8080)).unwrap();
    world.say(Side::Host, &success).unwrap();
    world.say(Side::Client, &listen(8081)).unwrap();
    world.to_host.clear();
    assert_eq!(world.permit(no_forwards()), 1);
    assert_eq!(world.to_host, [cancel(8080)]);
    // The host had not answered yet.
    world.say(Side::Host, &success).unwrap();
    assert_eq!(world.to_host.pop_back(), Some(cancel(8081)));
    world.to_client.clear();
    world
        .say(Side::Host, &forwarded_tcpip(4, "localhost", 8080))
        .unwrap();
    assert!(world.to_client.is_empty());
}

/// A channel from a listener that the client has cancelled since is permitted all the same.
#[test]
fn a_connection_outlives_its_listener() {
    let place = || Head::of_data().string(b"localhost").uint32(8080);
    let mut world = World::default();
    let success = Message::RequestSuccess { data: Bytes::new() };
    world
        .say(Side::Client, &global("tcpip-forward", place()))
        .unwrap();
    world.say(Side::Host, &success).unwrap();
    world
        .say(Side::Host, &forwarded_tcpip(4, "localhost", 8080))
        .unwrap();
    world.say(Side::Client, &confirm(0, 6)).unwrap();
    world
        .say(Side::Client, &global("cancel-tcpip-forward", place()))
        .unwrap();
    let fewer = Permissions {
        x11: true,
        ..Permissions::default()
    };
    assert_eq!(world.permit(fewer), 0);
    assert_eq!(world.permit(no_forwards()), 1);
}

/// Nobody has looked for SSH in what is open: it ends when SSH is permitted no more.
#[test]
fn forwards_that_nobody_has_looked_into_end_with_nested_ssh() {
    let seen = Permissions {
        nested_ssh: false,
        ..Permissions::default()
    };
    let unseen = Permissions {
        nested_ssh: true,
        ..Permissions::default()
    };
    let mut world = World::with_forward(unseen.clone());
    assert_eq!(world.permit(unseen.clone()), 0);
    assert_eq!(world.permit(seen.clone()), 1);
    let mut world = World::with_forward(seen);
    assert_eq!(world.permit(unseen), 0);
}

/// Every row of the table, in a relay that permits everything and in one that permits nothing.
#[test]
fn every_row_does_what_it_says() {
    for row in TABLE {
        let everything = Permissions {
            x11: true,
            ..Permissions::default()
        };
        let nothing = Permissions {
            port_forwarding: Direction::Neither,
            streamlocal: Direction::Neither,
            accept_env: NamePatterns::new(Vec::new()),
            agent: false,
            max_sessions: 0,
            ..Permissions::default()
        };
        for (permissions, all) in [(everything, true), (nothing, false)] {
            let mut world = row_world(row.place, permissions);
            world.say(row.from, &row_message(row)).unwrap();
            let passed = !world.under_way(row.from.other()).is_empty();
            let expected = match row.verdict {
                Verdict::Relay | Verdict::Ask | Verdict::RelayLastSession | Verdict::Start => true,
                Verdict::Permit(_) => all,
                Verdict::Expected | Verdict::Swallow | Verdict::Refuse => false,
            };
            assert_eq!(passed, expected, "{row:?} permitted: {all}");
            let silent = passed || row.verdict == Verdict::Swallow;
            assert_eq!(
                world.witness.refused.is_empty(),
                silent,
                "{row:?} permitted: {all}"
            );
        }
    }
}

/// A relay with channel 0 in the state that a place stands for.
fn row_world(place: NameContext, permissions: Permissions) -> World {
    let peers = Peers {
        client_is_openssh: true,
        host_is_openssh: true,
        host_knows_agent_req: false,
    };
    let channel = match place {
        NameContext::Open | NameContext::Global => None,
        NameContext::Setup | NameContext::Running => Some(open(7)),
        NameContext::Forwarded => Some(direct_tcpip(7, "localhost", 80)),
    };
    let mut world = World {
        relay: Relay::new(peers, Arc::default()),
        ..World::default()
    };
    if let Some(message) = channel {
        world.say(Side::Client, &message).unwrap();
        world.say(Side::Host, &confirm(0, 9)).unwrap();
    }
    if place == NameContext::Running {
        world
            .say(Side::Client, &request("shell", Head::of_data()))
            .unwrap();
    }
    world.relay.permissions = Arc::new(permissions);
    world.to_client.clear();
    world.to_host.clear();
    world
}

/// A well-formed message for a row.
fn row_message(row: &MessageRow) -> Message {
    let data = crossing::data(row, &crossing::usual);
    crossing::message(row, data)
}

/// A peer that keeps to the protocol: sends within its window, answers CLOSE with CLOSE.
#[derive(Debug, Default)]
struct RelayPeer {
    channels: BTreeMap<u32, PeerChannel>,
}

/// A peer's end of one channel.
#[derive(Debug, Default)]
struct PeerChannel {
    remote: u32,
    open: bool,
    running: bool,
    window: u32,
    max_packet: u32,
    sent: Vec<u8>,
    received: Vec<u8>,
    got_eof: bool,
    sent_eof: bool,
    sent_close: bool,
    got_close: bool,
    asked: u32,
    answered: u32,
}

const WINDOW: u32 = 64;

impl RelayPeer {
    fn hear(&mut self, message: Message, me: Side) -> Vec<Message> {
        match message {
            Message::Open {
                sender,
                window,
                max_packet,
                ..
            } => {
                let number = 100 + u32::try_from(self.channels.len()).unwrap();
                let line = PeerChannel {
                    remote: sender,
                    open: true,
                    window,
                    max_packet,
                    ..PeerChannel::default()
                };
                self.channels.insert(number, line);
                let (recipient, sender, data) = (sender, number, Bytes::new());
                vec![Message::OpenConfirmation {
                    recipient,
                    sender,
                    window: WINDOW,
                    max_packet: 16,
                    data,
                }]
            }
            Message::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                ..
            } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.open && me == Side::Client);
                (line.open, line.remote, line.window, line.max_packet) =
                    (true, sender, window, max_packet);
                line.asked += 1;
                let data = Head::of_data().string(b"run").into_bytes();
                let kind = Name::from_static("exec");
                vec![Message::Request {
                    recipient: sender,
                    kind,
                    want_reply: true,
                    data,
                }]
            }
            Message::Request {
                recipient,
                kind,
                want_reply,
                ..
            } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.got_close);
                line.running |= kind.as_str() == "exec";
                if want_reply && !line.sent_close {
                    vec![Message::Success {
                        recipient: line.remote,
                    }]
                } else {
                    vec![]
                }
            }
            Message::Success { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                line.answered += 1;
                assert!(line.answered <= line.asked);
                vec![]
            }
            Message::Data { recipient, data } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!line.got_eof && !line.got_close && data.len() <= 16);
                line.received.extend_from_slice(&data);
                let bytes = u32::try_from(data.len()).unwrap();
                if line.sent_close {
                    vec![]
                } else {
                    vec![Message::WindowAdjust {
                        recipient: line.remote,
                        bytes,
                    }]
                }
            }
            Message::WindowAdjust { recipient, bytes } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                line.window += bytes;
                assert!(line.window <= WINDOW, "more was granted than taken");
                vec![]
            }
            Message::Eof { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!std::mem::replace(&mut line.got_eof, true));
                vec![]
            }
            Message::Close { recipient } => {
                let line = self.channels.get_mut(&recipient).unwrap();
                assert!(!std::mem::replace(&mut line.got_close, true));
                if std::mem::replace(&mut line.sent_close, true) {
                    vec![]
                } else {
                    vec![Message::Close {
                        recipient: line.remote,
                    }]
                }
            }
            other => panic!("nobody says {other:?}"),
        }
    }

    /// Does one thing on one channel, if it may.
    fn act(&mut self, channel: usize, what: u8, me: Side) -> Option<Message> {
        let (_, line) = self.channels.iter_mut().nth(channel)?;
        let started = match me {
            Side::Client => line.answered > 0,
            Side::Host => line.running,
        };
        if !started || line.sent_close || line.got_close {
            return None;
        }
        let recipient = line.remote;
        match what {
            0..=5 if !line.sent_eof => {
                let length = u32::from(what * 3).min(line.window).min(line.max_packet) as usize;
                line.window -= u32::try_from(length).unwrap();
                let next = line.sent.len();
                let data: Vec<u8> = (next..next + length)
                    .map(|n| u8::try_from(n % 251).unwrap())
                    .collect();
                line.sent.extend_from_slice(&data);
                Some(Message::Data {
                    recipient,
                    data: data.into(),
                })
            }
            6 if !line.sent_eof => {
                line.sent_eof = true;
                Some(Message::Eof { recipient })
            }
            7 => {
                line.asked += 1;
                let kind = Name::from_static("keepalive@openssh.com");
                Some(Message::Request {
                    recipient,
                    kind,
                    want_reply: true,
                    data: Bytes::new(),
                })
            }
            8 => {
                line.sent_close = true;
                Some(Message::Close { recipient })
            }
            _ => None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the order in which two honest peers speak and are heard: each byte arrives once and
    /// in order, windows never grow, replies match, and every channel ends closed on both sides.
    #[test]
    fn any_interleaving_arrives_whole(
        channels in 1usize..5,
        steps in proptest::collection::vec((0u8..4, 0usize..5, 0u8..12), 0..400),
        closing in proptest::collection::vec(0u8..4, 0..40),
    ) {
        let mut world = World::default();
        let mut client = RelayPeer::default();
        let mut host = RelayPeer::default();
        for number in 0..channels {
            let number = u32::try_from(number).unwrap();
            client.channels.insert(number, PeerChannel::default());
            let kind = Name::from_static("session");
            let message = Message::Open {
                kind, sender: number, window: WINDOW, max_packet: 16, data: Bytes::new(),
            };
            world.say(Side::Client, &message).unwrap();
        }
        let run = |world: &mut World, client: &mut RelayPeer, host: &mut RelayPeer, actor: u8, channel, what| {
            let (side, said) = match actor {
                0 => (Side::Client, client.act(channel, what, Side::Client).into_iter().collect()),
                1 => (Side::Host, host.act(channel, what, Side::Host).into_iter().collect()),
                2 => (Side::Client, world.to_client.pop_front()
                    .map_or_else(Vec::new, |message| client.hear(message, Side::Client))),
                _ => (Side::Host, world.to_host.pop_front()
                    .map_or_else(Vec::new, |message| host.hear(message, Side::Host))),
            };
            for message in said {
                world.say(side, &message).unwrap();
            }
        };
        for (actor, channel, what) in steps {
            // Closing at random would end most runs before anything happens.
            let what = if what == 8 && channel != 0 { 9 } else { what };
            run(&mut world, &mut client, &mut host, actor, channel, what);
        }
        for actor in closing {
            run(&mut world, &mut client, &mut host, actor, 0, 9);
        }
        while !world.to_client.is_empty() || !world.to_host.is_empty() {
            run(&mut world, &mut client, &mut host, 2, 0, 9);
            run(&mut world, &mut client, &mut host, 3, 0, 9);
        }
        let complete = |from: &PeerChannel, to: &PeerChannel| {
            // A peer that has closed is told no more; what it was told is a beginning of what was sent.
            from.sent.starts_with(&to.received) && (to.sent_close || from.sent == to.received)
        };
        for (number, line) in &client.channels {
            let other = &host.channels[&line.remote_number(&host)];
            prop_assert!(complete(line, other), "channel {number}, to the host");
            prop_assert!(complete(other, line), "channel {number}, to the client");
            prop_assert_eq!(line.sent_close, line.got_close);
            prop_assert_eq!(other.sent_close, other.got_close);
            if !line.sent_close {
                prop_assert_eq!((line.asked, other.asked), (line.answered, other.answered));
                prop_assert_eq!((line.sent_eof, other.sent_eof), (other.got_eof, line.got_eof));
            }
        }
        let closed = client.channels.values().filter(|line| line.got_close).count();
        prop_assert_eq!(world.relay.channels(), channels - closed);
    }

    /// No packet, from either side, in any order, makes the relay panic.
    #[test]
    fn any_packets_are_judged_without_a_panic(
        packets in proptest::collection::vec(
            (any::<bool>(), 78u8..102, 0u32..4, proptest::collection::vec(any::<u8>(), 0..30)), 0..60),
    ) {
        let mut world = World::with_session();
        for (client, number, channel, rest) in packets {
            let side = if client { Side::Client } else { Side::Host };
            let mut payload = vec![number];
            payload.extend_from_slice(&channel.to_be_bytes());
            payload.extend_from_slice(&rest);
            let mut out = Vec::new();
            let _judged = world.relay.on_packet(
                side, &Bytes::from(payload), &mut world.witness, &mut out,
            );
        }
    }
}

impl PeerChannel {
    /// The host's number of the channel that the relay calls `remote`.
    fn remote_number(&self, host: &RelayPeer) -> u32 {
        host.channels
            .iter()
            .find(|(_, line)| line.remote == self.remote)
            .map(|(number, _)| *number)
            .expect("every channel reaches the host")
    }
}

/// A question of the proxy's own takes its place among the client's: its answer goes no further, and
/// the client's answers keep their order.
#[test]
fn the_answer_to_our_own_question_is_kept_from_the_client() {
    let mut world = World::default();
    let ask = |name: &'static str| Message::GlobalRequest {
        name: Name::from_static(name),
        want_reply: true,
        data: Bytes::new(),
    };
    world.say(Side::Client, &ask(KEEP_ALIVE)).unwrap();
    let mut out = Vec::new();
    world.relay.ask(Side::Host, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].to, &out[0].message), (Side::Host, &ask(KEEP_ALIVE)));
    world.say(Side::Client, &ask("unheard-of")).unwrap();
    world.say(Side::Client, &ask(KEEP_ALIVE)).unwrap();
    assert_eq!(world.to_host.len(), 2);
    assert_eq!(world.to_client, []);

    let yes = Message::RequestSuccess { data: Bytes::new() };
    let no = Message::RequestFailure;
    world.say(Side::Host, &yes).unwrap();
    assert_eq!(world.to_client, std::slice::from_ref(&no));
    world.say(Side::Host, &no).unwrap();
    assert_eq!(
        world.to_client,
        [no.clone(), no.clone()],
        "the refusal's turn"
    );
    world.say(Side::Host, &yes).unwrap();
    assert_eq!(world.to_client, [no.clone(), no.clone(), no]);
    assert_eq!(world.say(Side::Host, &yes), Err(Breach::Reply));
}
