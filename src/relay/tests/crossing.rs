//! Nothing crosses that is not recorded: for each row of the table, and for what answers it.

use super::*;
use crate::relay::content::{Content, Fate, Field, Holds};
use crate::relay::forward::Listener;
use crate::wire::connection::{Fields, MalformedMessage};

/// What a field holds in a plain message.
pub(super) fn usual(field: &Field) -> Value {
    match (field.holds, field.name) {
        (Holds::Text(_), "variable") => Value::Text(Bytes::from_static(b"LANG")),
        (Holds::Text(_), _) if field.fate == Fate::Blank => Value::Text(Bytes::new()),
        (Holds::Text(_), name) => Value::Text(Bytes::from_static(name.as_bytes())),
        (Holds::Number, "reserved") => Value::Number(0),
        (Holds::Number, _) => Value::Number(80),
        (Holds::Flag, _) => Value::Flag(true),
        (Holds::Modes, _) => Value::Bytes(Bytes::from_static(b"\0")),
    }
}

/// What a field holds in a message in which something is hidden.
fn loaded(field: &Field) -> Value {
    let number = |name: &str| name.bytes().map(u32::from).sum::<u32>();
    match (field.holds, field.name) {
        (Holds::Text(_), "variable") => Value::Text(Bytes::from_static(b"LC_ANY")),
        (Holds::Text(_), "host") => Value::Text(Bytes::from_static(b"localhost")),
        (Holds::Text(_), name) => Value::Text([b"\xff\0", name.as_bytes()].concat().into()),
        (Holds::Number, name) => Value::Number(0x1000 + number(name)),
        (Holds::Flag, _) => Value::Flag(true),
        (Holds::Modes, _) => Value::Bytes(Bytes::from_static(b"\x63hide\x01here\0")),
    }
}

pub(super) fn data(row: &MessageRow, value: &dyn Fn(&Field) -> Value) -> Bytes {
    let fields = row.fields.iter();
    let data = fields.fold(Head::of_data(), |data, field| match value(field) {
        Value::Text(bytes) | Value::Bytes(bytes) => data.string(&bytes),
        Value::Number(number) => data.uint32(number),
        Value::Flag(flag) => data.boolean(flag),
    });
    data.into_bytes()
}

pub(super) fn message(row: &MessageRow, data: Bytes) -> Message {
    let name = Name::from_static(row.name);
    match row.place {
        NameContext::Open => Message::Open {
            kind: name,
            sender: 5,
            window: 10,
            max_packet: 1024,
            data,
        },
        NameContext::Global => Message::GlobalRequest {
            name,
            want_reply: true,
            data,
        },
        NameContext::Setup | NameContext::Running | NameContext::Forwarded => Message::Request {
            recipient: 0,
            kind: name,
            want_reply: true,
            data,
        },
    }
}

/// A relay that permits everything, in which the client has asked for all that a host may open.
fn world(row: &MessageRow) -> World {
    let everything = Permissions {
        x11: true,
        accept_env: NamePatterns::new(vec!["*".parse().expect("a pattern")]),
        ..Permissions::default()
    };
    let mut world = row_world(row.place, everything);
    let content = Content::parse(row.fields, Fields::of_open(&data(row, &loaded)));
    let content = content.unwrap_or_default();
    world.relay.expected.x11 = true;
    world.relay.expected.agent = true;
    for name in ["tcpip-forward", "streamlocal-forward@openssh.com"] {
        let listener = Listener::of(name, &content).expect("a listener");
        assert!(world.relay.expected.listen(listener));
    }
    world
}

/// The data of the message of this row that crosses first.
fn crossed(world: &mut World, row: &MessageRow) -> Option<Bytes> {
    world
        .under_way(row.from.other())
        .pop_front()
        .map(|message| match message {
            Message::Open { data, .. }
            | Message::GlobalRequest { data, .. }
            | Message::Request { data, .. } => data,
            other => panic!("{other:?}"),
        })
}

fn passes(row: &MessageRow) -> bool {
    !matches!(row.verdict, Verdict::Swallow | Verdict::Refuse)
}

#[test]
fn no_byte_of_any_row_crosses_unrecorded() {
    for row in TABLE.iter().filter(|row| passes(row)) {
        let mut world = world(row);
        let sent = data(row, &loaded);
        world.says(row.from, message(row, sent));
        let written = |field: &Field| match (field.fate, field.holds) {
            (Fate::Recorded, _) => loaded(field),
            (Fate::Blank, Holds::Number) => Value::Number(0),
            (Fate::Blank, _) => Value::Text(Bytes::new()),
        };
        let crossed = crossed(&mut world, row);
        assert_eq!(crossed, Some(data(row, &written)), "{row:?}");
        // What comes before a session is recorded with it.
        if row.place == NameContext::Setup {
            let close = close(0);
            world.client(&close);
        }
        for field in row.fields {
            let value = loaded(field);
            let is_shown = world.witness.shown.contains(&value);
            assert!(is_shown || field.fate == Fate::Blank, "{row:?} {field:?}");
        }
    }
}

#[test]
fn what_follows_the_last_field_of_any_row_crosses_nowhere() {
    for row in TABLE.iter().filter(|row| passes(row)) {
        let mut world = world(row);
        let mut longer = data(row, &usual).to_vec();
        longer.extend_from_slice(b"hidden");
        let refused = world.say(row.from, &message(row, longer.into()));
        assert!(
            matches!(refused, Err(Breach::Malformed(MalformedMessage::Long(_)))),
            "{row:?} {refused:?}"
        );
        assert!(world.under_way(row.from.other()).is_empty(), "{row:?}");
    }
}

#[test]
fn a_text_that_is_too_long_crosses_nowhere() {
    for row in TABLE.iter().filter(|row| passes(row)) {
        for chosen in row.fields {
            let Holds::Text(longest) = chosen.holds else {
                continue;
            };
            let mut world = world(row);
            let too_long = |field: &Field| match field == chosen {
                true => Value::Text(vec![b'x'; longest + 1].into()),
                false => usual(field),
            };
            let refused = world.say(row.from, &message(row, data(row, &too_long)));
            assert!(
                matches!(refused, Err(Breach::Malformed(MalformedMessage::Text(_)))),
                "{row:?} {chosen:?}: {refused:?}"
            );
            assert!(world.under_way(row.from.other()).is_empty(), "{row:?}");
        }
    }
}

#[test]
fn answers_carry_nothing_but_what_was_asked_for() {
    let listen = |port| {
        let data = Head::of_data().string(b"localhost").uint32(port);
        global("tcpip-forward", data)
    };
    let ask = |name| global(name, Head::of_data());
    let yes = |data: Head| Message::RequestSuccess {
        data: data.into_bytes(),
    };
    let number = |number| yes(Head::of_data().uint32(number));
    // What is asked, what is answered, what the client reads of it.
    let cases = [
        (listen(8080), number(8080), Some(yes(Head::of_data()))),
        (listen(8080), number(8081), None),
        (listen(8080), yes(Head::of_data().string(b"hidden")), None),
        (listen(0), number(40_000), Some(number(40_000))),
        (listen(0), yes(Head::of_data().uint32(1).uint32(2)), None),
        (
            ask(KEEP_ALIVE),
            yes(Head::of_data().string(b"hidden")),
            Some(Message::RequestFailure),
        ),
        (ask("no-more-sessions@openssh.com"), number(7), None),
    ];
    for (question, answer, read) in cases {
        let mut world = World::default();
        world.client(&question);
        let said = world.say(Side::Host, &answer);
        assert_eq!(said.is_ok(), read.is_some(), "{question:?} {answer:?}");
        assert_eq!(world.to_client.pop_front(), read, "{question:?} {answer:?}");
    }
    let mut world = World::default();
    world.client(listen(0));
    world.host(number(40_000));
    assert!(world.witness.shown.contains(&Value::Number(40_000)));
}

#[test]
fn a_listener_without_a_recording_is_not_asked_for() {
    let mut world = World::default();
    world.witness.refuses = true;
    let data = Head::of_data().string(b"localhost").uint32(0);
    world.client(global("tcpip-forward", data));
    assert!(world.to_host.is_empty());
    assert_eq!(world.to_client, [Message::RequestFailure]);
}

#[test]
fn confirmations_hold_nothing_and_failures_what_is_recorded() {
    let confirmation = Message::OpenConfirmation {
        recipient: 0,
        sender: 9,
        window: 1000,
        max_packet: 1024,
        data: Bytes::from_static(b"hidden"),
    };
    let failure = |text: &[u8]| Message::OpenFailure {
        recipient: 0,
        reason: 0xdead,
        text: Bytes::copy_from_slice(text),
        language: Bytes::from_static(b"hidden"),
    };
    for question in [open(7), direct_tcpip(7, "localhost", 80)] {
        let mut world = World::default();
        world.client(&question);
        let refused = world.say(Side::Host, &confirmation);
        assert!(matches!(refused, Err(Breach::Malformed(_))), "{refused:?}");
        assert!(world.to_client.is_empty());
    }

    let mut world = World::default();
    world.client(direct_tcpip(7, "localhost", 80));
    world.host(failure(&[b'x'; 3000]));
    let Some(Message::OpenFailure { text, language, .. }) = world.to_client.pop_front() else {
        panic!("it fails");
    };
    assert!(language.is_empty() && text.len() == 1024);
    for value in [Value::Number(0xdead), Value::Text(text)] {
        assert!(world.witness.shown.contains(&value), "{value:?}");
    }

    let mut world = World::default();
    world.client(open(7));
    world.host(failure(b"hidden"));
    let Some(Message::OpenFailure { reason, text, .. }) = world.to_client.pop_front() else {
        panic!("it fails");
    };
    assert_eq!(reason, OpenFailure::ConnectFailed as u32);
    assert!(!text.ends_with(b"hidden"), "nobody would have recorded it");
}

#[test]
fn what_was_asked_for_is_recorded_where_no_session_begins() {
    let variable = || {
        let data = Head::of_data().string(b"LANG").string(b"hidden");
        request("env", data)
    };
    let mut world = World::default();
    world.client(open(7));
    world.host(confirm(0, 9));
    world.client(variable());
    world.relay.abandon_all(&mut world.witness);
    let hidden = Value::Text(Bytes::from_static(b"hidden"));
    assert!(world.witness.shown.contains(&hidden));
    assert_eq!(world.witness.abandoned, 1);
    world.client(close(0));
    assert_eq!(world.witness.abandoned, 1, "nothing is recorded twice");
}

#[test]
fn requests_before_a_session_are_bounded() {
    let mut world = World::default();
    world.client(open(7));
    world.host(confirm(0, 9));
    world.to_host.clear();
    for size in 0..300 {
        let data = Head::of_data().uint32(size).uint32(1).uint32(1).uint32(1);
        let message = Message::Request {
            recipient: 0,
            kind: Name::from_static("window-change"),
            want_reply: false,
            data: data.into_bytes(),
        };
        world.client(&message);
    }
    assert!((1..256).contains(&world.to_host.len()));
    assert!(!world.witness.refused.is_empty());
}

/// The number of bytes in a grant would be a message of its own.
#[test]
fn grants_are_round_numbers_and_bounded() {
    let opens = |window| Message::Open {
        kind: Name::from_static("session"),
        sender: 7,
        window,
        max_packet: 32_768,
        data: Bytes::new(),
    };
    for (window, told) in [
        (2_097_152, 2_097_152),
        (2_100_000, 2_097_152),
        (u32::MAX, 16 * 1024 * 1024),
        (1_234, 1_234),
    ] {
        let mut world = World::default();
        world.client(opens(window));
        let sent = world.to_host.pop_front();
        assert!(
            matches!(sent, Some(Message::Open { window, .. }) if window == told),
            "{sent:?}"
        );
    }

    let mut world = World::default();
    world.client(opens(65_536));
    world.host(confirm(0, 9));
    world.client(request("shell", Head::of_data()));
    world.to_host.clear();
    for bytes in [1, 77, 32_000, 1_000] {
        let adjust = Message::WindowAdjust {
            recipient: 0,
            bytes,
        };
        world.client(&adjust);
    }
    let adjusted = |bytes| Message::WindowAdjust {
        recipient: 9,
        bytes,
    };
    assert_eq!(world.to_host, [adjusted(32_768)]);
    // What is left over is told when the host has little left.
    world.to_host.clear();
    for length in [32_768, 32_768, 10_000] {
        world.host(super::data(0, length));
    }
    assert_eq!(world.to_host, [adjusted(310)]);
}

#[test]
fn empty_data_goes_nowhere() {
    let mut world = World::with_session();
    for from in [Side::Client, Side::Host] {
        world.says(from, super::data(0, 0));
    }
    assert!(world.to_host.is_empty() && world.to_client.is_empty());
}

#[test]
fn what_comes_to_nothing_is_counted() {
    let mut world = World::default();
    let host_keys = Message::GlobalRequest {
        name: Name::from_static("hostkeys-00@openssh.com"),
        want_reply: true,
        data: Bytes::from_static(b"whatever"),
    };
    let heard = (0..20_000)
        .take_while(|_| world.say(Side::Host, &host_keys).is_ok())
        .count();
    assert_eq!(heard, 10_000);
    assert!(world.to_client.is_empty());
}

#[test]
fn ssh_inside_a_session_ends_it() {
    for from in [Side::Client, Side::Host] {
        let mut world = World::with_session();
        let say = |world: &mut World, bytes: &'static [u8]| {
            let data = Bytes::from_static(bytes);
            world.say(from, &Message::Data { recipient: 0, data })
        };
        say(&mut world, b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
        assert!(world.witness.refused.is_empty(), "it may be a text");
        say(&mut world, b"\0\0\x04\x1c\x0a\x14").unwrap();
        assert_eq!(world.witness.refused, ["Data nested SSH"]);
        assert_eq!(world.witness.closed, [0]);
        let told = world.to_client.iter().any(|message| {
            matches!(message, Message::ExtendedData { data, .. }
                if data.windows(20).any(|text| text == b"SSH inside a session"))
        });
        assert!(told, "{:?}", world.to_client);
        assert_eq!(world.to_host.pop_back(), Some(close(9)));
    }
}

#[test]
fn a_session_with_ssh_in_it_ends_when_that_is_no_longer_permitted() {
    let mut world = World::with_session();
    world.permit(Permissions {
        nested_ssh: true,
        ..Permissions::default()
    });
    let data = Bytes::from_static(b"SSH-2.0-x\n\0\0\x04\x1c\x0a\x14");
    world.client(Message::Data { recipient: 0, data });
    assert!(world.witness.closed.is_empty());
    assert_eq!(world.permit(Permissions::default()), 1);
    assert_eq!(world.witness.closed, [0]);
}
