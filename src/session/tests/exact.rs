//! What crosses is in the recording byte for byte, also where it is no text.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::access::Permissions;
use crate::recording::{ChannelNote, ExitNote};
use crate::relay::{Peers, Relay, Side};

/// No UTF-8, not the same for any two fields.
fn odd(field: u8) -> Vec<u8> {
    [b"a\xa0\xaf\xff\n\x1b\0", &[field][..], b"\xc3"].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

fn uint32(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A relay that lets everything through, between two sides that agree to everything.
struct Crossing {
    relay: Relay,
    house: House,
    /// What was sent on, in one piece.
    crossed: Vec<u8>,
}

impl Crossing {
    fn new() -> Self {
        Self {
            relay: Relay::new(Peers::default(), Arc::new(Permissions::default())),
            house: House::new(RecordingPolicy::Strict),
            crossed: Vec::new(),
        }
    }

    fn say(&mut self, from: Side, number: u8, fields: &[Vec<u8>]) {
        let payload = Bytes::from([vec![number], fields.concat()].concat());
        let mut out = Vec::new();
        self.relay
            .on_packet(from, &payload, &mut self.house.recorder, &mut out)
            .unwrap();
        let before = self.crossed.len();
        for outgoing in out {
            assert_eq!(outgoing.to, from.other(), "{outgoing:?}");
            let (head, body) = outgoing.message.encode();
            self.crossed.extend([&head[..], &body].concat());
        }
        assert_ne!(self.crossed.len(), before, "message {number} was kept");
    }

    /// Opens channel `number` from this side, and has the other one agree.
    fn open(&mut self, from: Side, number: u32, kind: &str, fields: &[Vec<u8>]) {
        let head = [
            string(kind.as_bytes()),
            uint32(number),
            uint32(9999),
            uint32(9999),
        ];
        self.say(from, 90, &[&head[..], fields].concat());
        let ends = [uint32(number), uint32(number), uint32(9999), uint32(9999)];
        self.say(from.other(), 91, &ends);
    }

    fn request(&mut self, from: Side, number: u32, kind: &str, fields: &[Vec<u8>]) {
        let head = [uint32(number), string(kind.as_bytes()), vec![0]];
        self.say(from, 98, &[&head[..], fields].concat());
    }

    fn listen(&mut self, kind: &str, fields: &[Vec<u8>]) {
        let head = [string(kind.as_bytes()), vec![1]];
        self.say(Side::Client, 80, &[&head[..], fields].concat());
        self.say(Side::Host, 81, &[]);
    }

    /// Every string of every recording, exactly, by what it is.
    fn recorded(mut self) -> BTreeMap<String, Vec<Vec<u8>>> {
        self.house.recorder.end("over");
        let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut tell = |what: &str, bytes: &[u8]| {
            found
                .entry(what.to_owned())
                .or_default()
                .push(bytes.to_vec());
        };
        let directory = self.house.directory.path().join("recordings");
        for entry in std::fs::read_dir(directory).unwrap() {
            let file = std::fs::File::open(entry.unwrap().path()).unwrap();
            let mut reader = Reader::open(file).unwrap();
            let header = reader.header().clone();
            if let Some(command) = header.command {
                tell("command", command.bytes());
            }
            if let Some(pty) = header.pty {
                tell("header term", pty.term.bytes());
            }
            for event in reader.by_ref() {
                match event.unwrap().kind {
                    EventKind::Request(note) => every_field(&note, &mut tell),
                    EventKind::Exit(ExitNote::Signal(signal)) => {
                        tell("exit name", signal.name.bytes());
                        tell("exit message", signal.message.bytes());
                    }
                    _ => {}
                }
            }
            assert!(matches!(reader.state(), State::Complete(_)));
        }
        found
    }
}

fn every_field(note: &ChannelNote, tell: &mut impl FnMut(&str, &[u8])) {
    for (key, value) in &note.fields {
        let what = format!("{} {key}", note.name);
        match note.bytes(key) {
            Some(bytes) => tell(&what, &bytes),
            None => tell(&what, value.to_string().as_bytes()),
        }
    }
}

#[tokio::test]
async fn every_string_that_crosses_is_recorded_byte_for_byte() {
    let mut crossing = Crossing::new();
    let (client, host) = (Side::Client, Side::Host);
    crossing.open(client, 0, "session", &[]);
    let sizes = [70_000, 3, 0, 0].map(uint32);
    let modes = string(&[0]);
    crossing.request(
        client,
        0,
        "pty-req",
        &[&[string(&odd(1))], &sizes[..], &[modes]].concat(),
    );
    crossing.request(client, 0, "env", &[string(b"LC_ALL"), string(&odd(2))]);
    crossing.request(
        client,
        0,
        "env",
        &[string("LC_é".as_bytes()), string(b"plain")],
    );
    crossing.request(client, 0, "exec", &[string(&odd(3))]);
    crossing.request(client, 0, "signal", &[string(&odd(4))]);
    let core = vec![0];
    crossing.request(
        host,
        0,
        "exit-signal",
        &[string(&odd(5)), core, string(&odd(6)), string(b"")],
    );
    crossing.open(client, 1, "session", &[]);
    crossing.request(client, 1, "subsystem", &[string(&odd(7))]);
    let from = [string(b"127.0.0.1"), uint32(1)].concat();
    crossing.open(
        client,
        2,
        "direct-tcpip",
        &[string(&odd(8)), uint32(80), from.clone()],
    );
    let reserved = [string(b""), uint32(0)].concat();
    crossing.open(
        client,
        3,
        "direct-streamlocal@openssh.com",
        &[string(&odd(9)), reserved],
    );
    crossing.listen("tcpip-forward", &[string(&odd(10)), uint32(8080)]);
    crossing.open(
        host,
        4,
        "forwarded-tcpip",
        &[string(&odd(10)), uint32(8080), from],
    );
    crossing.listen("streamlocal-forward@openssh.com", &[string(&odd(11))]);
    crossing.open(
        host,
        5,
        "forwarded-streamlocal@openssh.com",
        &[string(&odd(11)), string(b"")],
    );

    let crossed = std::mem::take(&mut crossing.crossed);
    for field in 1..=11 {
        let is_there = crossed
            .windows(odd(field).len())
            .any(|some| some == odd(field));
        assert!(is_there, "{field} did not cross");
    }
    let recorded = crossing.recorded();
    let with_port = |field, port: &str| [&odd(field)[..], port.as_bytes()].concat();
    for (what, expected) in [
        ("header term", odd(1)),
        ("pty-req term", odd(1)),
        ("pty-req cols", b"70000".to_vec()),
        ("env variable", b"LC_ALL".to_vec()),
        ("env variable", "LC_é".into()),
        ("env value", odd(2)),
        ("env value", b"plain".to_vec()),
        ("command", odd(3)),
        ("signal signal", odd(4)),
        ("exit name", odd(5)),
        ("exit message", odd(6)),
        ("command", odd(7)),
        ("open address", with_port(8, ":80")),
        ("open address", odd(9)),
        ("open address", with_port(10, ":8080")),
        ("open address", odd(11)),
    ] {
        let found = recorded.get(what);
        assert!(
            found.is_some_and(|found| found.contains(&expected)),
            "{what} {expected:?} is not among {found:?}"
        );
    }
}

/// A recording that cannot be read any more hides more than one that was not made.
#[tokio::test]
async fn the_longest_strings_of_a_message_leave_a_recording_that_reads() {
    // As long as they may be, in what JSON writes longest.
    let of = |length: usize, last: u8| [&vec![1; length - 1][..], &[last]].concat();
    let long = |last| of(250_000, last);
    let mut crossing = Crossing::new();
    crossing.open(Side::Client, 0, "session", &[]);
    let sizes = [80, 24, 0, 0].map(uint32);
    let pty = [&[string(&of(256, b'x'))], &sizes[..], &[string(&[0])]].concat();
    crossing.request(Side::Client, 0, "pty-req", &pty);
    crossing.request(Side::Client, 0, "exec", &[string(&long(0xff))]);
    let ending = [
        string(b"TERM"),
        vec![0],
        string(&of(4_096, 0xfe)),
        string(b""),
    ];
    crossing.request(Side::Host, 0, "exit-signal", &ending);
    let recorded = crossing.recorded();
    assert_eq!(recorded["command"], [long(0xff)]);
    assert_eq!(recorded["header term"], [of(256, b'x')]);
    assert_eq!(recorded["exit message"], [of(4_096, 0xfe)]);
}
