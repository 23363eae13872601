//! Sessions and their channels: numbers, windows, replies, ends, and peers that break the protocol.

use super::*;

#[test]
fn numbers_are_mapped_and_grants_pass_through() {
    let mut world = World::with_session();
    world.client(data(0, 10));
    world.client(adjust(0, 5));
    world.host(data(0, 20));
    assert_eq!(world.to_host, [data(9, 10), adjust(9, 5)]);
    assert_eq!(world.to_client, [data(7, 20)]);
}

#[test]
fn there_is_room_for_last_words_where_the_client_has_granted_it() {
    assert!(Relay::default().has_room_for(1), "nobody is to be told");
    let mut world = World::with_session();
    assert!(world.relay.has_room_for(1000));
    assert!(!world.relay.has_room_for(1001));
    for _ in 0..10 {
        world.host(data(0, 100));
    }
    assert!(!world.relay.has_room_for(1), "a download takes all of it");
    let (recipient, bytes) = (0, 50);
    let granted = Message::WindowAdjust { recipient, bytes };
    world.client(&granted);
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
    world.client(open(7));
    world.host(confirm(0, 9));
    world.forget();
    world.client(request("shell", Head::of_data()));
    assert_eq!(world.to_host, [close(9)]);
    let status = Message::Request {
        recipient: 7,
        kind: Name::from_static("exit-status"),
        want_reply: false,
        data: Head::of_data().uint32(255).into_bytes(),
    };
    assert_eq!(
        world.to_client,
        [
            success(7),
            Message::ExtendedData {
                recipient: 7,
                code: STDERR,
                data: Bytes::from_static(b"no space left")
            },
            status,
            eof(7),
            close(7),
        ]
    );
    world.client(data(0, 10));
    world.client(close(0));
    world.host(close(0));
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn replies_keep_the_order_of_their_requests() {
    let mut world = World::with_session();
    let keepalive = request("keepalive@openssh.com", Head::of_data());
    world.client(&keepalive);
    world.client(request("x11-req", Head::of_data()));
    world.client(&keepalive);
    assert!(
        world.to_client.is_empty(),
        "the refusal must wait for the first answer"
    );
    world.host(success(0));
    world.host(failure(0));
    assert_eq!(world.to_client, [success(7), failure(7), failure(7),]);
    assert_eq!(world.witness.refused, ["ChannelRequest x11-req"]);
}

#[test]
fn what_the_table_does_not_name_is_refused_by_name() {
    let mut world = World::with_session();
    let kind = Name::from_static("tun@openssh.com");
    world.client(Message::Open {
        kind,
        sender: 8,
        window: 1,
        max_packet: 1,
        data: Bytes::new(),
    });
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { recipient: 8, reason, .. })
            if reason == OpenFailure::AdministrativelyProhibited as u32
    ));
    let kind = Name::from_static("x11");
    world.host(Message::Open {
        kind,
        sender: 5,
        window: 1,
        max_packet: 1,
        data: Head::of_data()
            .string(b"localhost")
            .uint32(6000)
            .into_bytes(),
    });
    assert!(matches!(
        world.to_host.pop_front(),
        Some(Message::OpenFailure { recipient: 5, .. })
    ));
    let name = Name::from_static("hostkeys-prove-00@openssh.com");
    world.client(Message::GlobalRequest {
        name,
        want_reply: true,
        data: Bytes::new(),
    });
    assert_eq!(world.to_client, [Message::RequestFailure]);
    world.client(request("exec", Head::of_data().string(b"sh")));
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
    world.host(Message::GlobalRequest {
        name,
        want_reply: false,
        data: Bytes::new(),
    });
    assert!(world.to_client.is_empty() && world.to_host.is_empty());
    assert!(world.witness.refused.is_empty());
}

#[test]
fn data_before_a_session_goes_nowhere_and_is_audited_once() {
    let mut world = World::default();
    world.client(open(7));
    world.host(confirm(0, 9));
    world.to_host.clear();
    world.client(data(0, 10));
    world.client(data(0, 10));
    assert!(world.to_host.is_empty());
    assert_eq!(world.witness.refused, ["Data before the session"]);
}

#[test]
fn peers_that_break_the_protocol_are_named() {
    type Case = (Side, Message, Breach);
    let success = success(0);
    let cases: [Case; 10] = [
        (Side::Client, data(0, 101), Breach::Overrun),
        (Side::Host, data(3, 1), Breach::NoChannel(3)),
        (Side::Host, success.clone(), Breach::Reply),
        (Side::Client, success, Breach::Reply),
        (Side::Host, Message::RequestFailure, Breach::Reply),
        (Side::Host, confirm(0, 1), Breach::Reply),
        (Side::Client, confirm(0, 1), Breach::Reply),
        (Side::Client, adjust(0, u32::MAX), Breach::Window),
        (Side::Host, eof(1), Breach::NoChannel(1)),
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
        world.client(data(0, 100));
    }
    assert_eq!(world.say(Side::Client, &data(0, 1)), Err(Breach::Overrun));
}

#[test]
fn nothing_follows_an_eof_or_a_close() {
    let mut world = World::with_session();
    world.client(eof(0));
    assert_eq!(
        world.say(Side::Client, &data(0, 1)),
        Err(Breach::Order("data"))
    );
    let mut world = World::with_session();
    world.client(close(0));
    assert_eq!(
        world.say(Side::Client, &data(0, 1)),
        Err(Breach::NoChannel(0))
    );
}

/// A client whose streams have both ended closes before the command has ended.
#[test]
fn how_a_session_ended_reaches_a_client_that_has_closed() {
    let mut world = World::with_session();
    world.host(eof(0));
    world.client(close(0));
    world.to_client.clear();
    let status = Message::Request {
        recipient: 0,
        kind: Name::from_static("exit-status"),
        want_reply: false,
        data: Head::of_data().uint32(3).into_bytes(),
    };
    world.host(&status);
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
        world.client(open(sender));
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
    world.client(Message::GlobalRequest {
        name,
        want_reply: false,
        data: Bytes::new(),
    });
    world.to_host.clear();
    world.client(open(8));
    assert!(world.to_host.is_empty());
    assert!(matches!(
        world.to_client.pop_front(),
        Some(Message::OpenFailure { .. })
    ));
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
    world.client(ask(KEEP_ALIVE));
    let mut out = Vec::new();
    world.relay.ask(Side::Host, &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].to, &out[0].message), (Side::Host, &ask(KEEP_ALIVE)));
    world.client(ask("unheard-of"));
    world.client(ask(KEEP_ALIVE));
    assert_eq!(world.to_host.len(), 2);
    assert_eq!(world.to_client, []);

    let yes = Message::RequestSuccess { data: Bytes::new() };
    let no = Message::RequestFailure;
    world.host(&yes);
    assert_eq!(world.to_client, std::slice::from_ref(&no));
    world.host(&no);
    assert_eq!(
        world.to_client,
        [no.clone(), no.clone()],
        "the refusal's turn"
    );
    world.host(&yes);
    assert_eq!(world.to_client, [no.clone(), no.clone(), no]);
    assert_eq!(world.say(Side::Host, &yes), Err(Breach::Reply));
}
