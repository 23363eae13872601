//! The relay between a client and a host: what these tests share, and each row of the table.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::table::{MessageRow, NameContext, TABLE, Verdict};
use super::{
    ChannelKey, Destination, Exit, Kind, Note, Outgoing, Peers, RefusedMessage, Relay,
    RelayedMessage, Side, Start, Stream, Tap, Value,
};
use crate::access::{Direction, NamePatterns, Permissions};
use crate::model::ParticipantId;
use crate::wire::connection::{Breach, Head, KEEP_ALIVE, Message, Name, OpenFailure, STDERR};

mod channels;
mod crossing;
mod flow;
mod forwards;
mod injecting;
mod peers;
mod permitting;

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
    /// What participants have typed.
    injected: Vec<(ParticipantId, Vec<u8>)>,
    notices: Vec<String>,
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

    fn injected(&mut self, channel: ChannelKey, participant: ParticipantId, bytes: &[u8]) {
        self.data(channel, Stream::Stdin, bytes);
        self.injected.push((participant, bytes.to_vec()));
    }

    fn notified(&mut self, _channel: ChannelKey, text: &str) {
        self.notices.push(text.to_owned());
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

    /// The client says this, as it may.
    fn client(&mut self, message: impl Borrow<Message>) {
        self.says(Side::Client, message);
    }

    /// The host says this, as it may.
    fn host(&mut self, message: impl Borrow<Message>) {
        self.says(Side::Host, message);
    }

    fn says(&mut self, from: Side, message: impl Borrow<Message>) {
        self.say(from, message.borrow()).unwrap();
    }

    /// What was under way until now has arrived.
    fn forget(&mut self) {
        self.to_client.clear();
        self.to_host.clear();
    }

    /// Opens channel 7 of the client as channel 9 of the host, and starts a command on it.
    fn with_session() -> Self {
        let mut world = Self::default();
        world.client(open(7));
        world.host(confirm(0, 9));
        world.client(request("exec", Head::of_data().string(b"cat")));
        world.host(success(0));
        world.forget();
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

fn success(recipient: u32) -> Message {
    Message::Success { recipient }
}

fn failure(recipient: u32) -> Message {
    Message::Failure { recipient }
}

fn eof(recipient: u32) -> Message {
    Message::Eof { recipient }
}

fn close(recipient: u32) -> Message {
    Message::Close { recipient }
}

fn adjust(recipient: u32, bytes: u32) -> Message {
    Message::WindowAdjust { recipient, bytes }
}

fn data(recipient: u32, length: usize) -> Message {
    Message::Data {
        recipient,
        data: vec![7; length].into(),
    }
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
        world.client(direct_tcpip(3, "localhost", 80));
        world.host(confirm(0, 9));
        world.forget();
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
            world.says(row.from, row_message(row));
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
        world.client(&message);
        world.host(confirm(0, 9));
    }
    if place == NameContext::Running {
        world.client(request("shell", Head::of_data()));
    }
    world.relay.permissions = Arc::new(permissions);
    world.forget();
    world
}

/// A well-formed message for a row.
fn row_message(row: &MessageRow) -> Message {
    let data = crossing::data(row, &crossing::usual);
    crossing::message(row, data)
}
