//! What participants type, and notices to the client: where they go, and what they leave of the flow of
//! the session's own bytes.

use std::num::NonZeroU16;

use super::*;
use crate::relay::first_grant;

impl World {
    /// A session of these windows: channel 7 of the client, 9 of the host, 0 here.
    fn with_windows(client: u32, host: u32, max_packet: u32) -> Self {
        let mut world = Self::default();
        world.client(Message::Open {
            kind: Name::from_static("session"),
            sender: 7,
            window: client,
            max_packet,
            data: Bytes::new(),
        });
        world.host(Message::OpenConfirmation {
            recipient: 0,
            sender: 9,
            window: host,
            max_packet,
            data: Bytes::new(),
        });
        world.client(request("shell", Head::of_data()));
        world.host(success(0));
        world.forget();
        world
    }

    pub(super) fn inject(&mut self, who: u16, bytes: &[u8]) -> usize {
        let mut out = Vec::new();
        let bytes = Bytes::copy_from_slice(bytes);
        let tap = &mut self.witness;
        let taken = self
            .relay
            .inject(ChannelKey(0), participant(who), &bytes, tap, &mut out);
        self.deliver(out);
        taken
    }

    pub(super) fn notify(&mut self, text: &str) -> bool {
        let mut out = Vec::new();
        let tap = &mut self.witness;
        let sent = self.relay.notify(ChannelKey(0), text, tap, &mut out);
        self.deliver(out);
        sent
    }

    fn deliver(&mut self, out: Vec<Outgoing>) {
        for Outgoing { to, message } in out {
            self.under_way(to).push_back(message);
        }
    }

    fn end_session(&mut self) {
        let mut out = Vec::new();
        self.relay.end_session(ChannelKey(0), "goodbye", &mut out);
        self.deliver(out);
    }
}

fn participant(number: u16) -> ParticipantId {
    ParticipantId::new(NonZeroU16::new(number).expect("not 0"))
}

fn text(recipient: u32, text: &str) -> Message {
    Message::Data {
        recipient,
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn stderr(recipient: u32, text: &str) -> Message {
    Message::ExtendedData {
        recipient,
        code: STDERR,
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}

#[test]
fn what_is_typed_goes_between_the_clients_bytes_and_the_tap_sees_who_it_was() {
    let mut world = World::with_windows(1_000, 1_000, 4);
    world.client(text(0, "ls"));
    assert_eq!(world.inject(1, b" -l ; "), 6);
    world.client(text(0, "w"));
    assert_eq!(world.inject(2, b"\n"), 1);
    let expected = ["ls", " -l ", "; ", "w", "\n"].map(|part| text(9, part));
    assert_eq!(world.to_host, expected);
    assert!(world.to_client.is_empty());
    let typed = [
        (participant(1), b" -l ; ".to_vec()),
        (participant(2), b"\n".to_vec()),
    ];
    assert_eq!(world.witness.injected, typed);
    assert_eq!(world.witness.bytes[&(0, "stdin")], b"ls -l ; w\n");
}

#[test]
fn nothing_is_taken_where_no_session_runs() {
    let mut world = World::default();
    let mut takes = |step: &mut dyn FnMut(&mut World)| {
        step(&mut world);
        (world.inject(1, b"x"), world.notify("x"))
    };
    assert_eq!(takes(&mut |_| {}), (0, false), "no channel");
    assert_eq!(
        takes(&mut |world| world.client(open(7))),
        (0, false),
        "it opens"
    );
    assert_eq!(
        takes(&mut |world| world.host(confirm(0, 9))),
        (0, false),
        "nothing runs"
    );
    let shell = request("shell", Head::of_data());
    assert_eq!(
        takes(&mut |world| world.client(&shell)),
        (0, false),
        "the host has not answered"
    );
    assert_eq!(takes(&mut |world| world.host(success(0))), (1, true));

    let typing = |end: &dyn Fn(&mut World)| {
        let mut world = World::with_session();
        end(&mut world);
        world.forget();
        let taken = (world.inject(1, b"x"), world.notify("x"));
        let is_said = !world.to_host.is_empty() || !world.to_client.is_empty();
        assert_eq!(taken.0 > 0 || taken.1, is_said);
        taken
    };
    assert_eq!(typing(&|world| world.client(eof(0))), (0, true));
    assert_eq!(typing(&|world| world.host(eof(0))), (1, false));
    assert_eq!(typing(&|world| world.client(close(0))), (0, false));
    assert_eq!(typing(&|world| world.host(close(0))), (0, false));
    assert_eq!(typing(&World::end_session), (0, false));
    let mut world = World::with_forward(Permissions::default());
    assert_eq!(
        (world.inject(1, b"x"), world.notify("x")),
        (0, false),
        "a forward"
    );
    let mut world = World::with_session();
    assert_eq!((world.inject(1, b""), world.notify("")), (0, false));
    assert!(world.witness.injected.is_empty() && world.witness.notices.is_empty());
}

/// What participants have used is paid back by the host's next grants, before the client gets any.
#[test]
fn what_was_used_is_kept_from_the_next_grants() {
    let mut world = World::with_windows(1_000, 1_000, 100);
    assert_eq!(world.inject(1, &[1; 300]), 300);
    world.forget();
    world.host(adjust(0, 200));
    assert!(world.to_client.is_empty());
    world.host(adjust(0, 150));
    assert_eq!(world.to_client, [adjust(7, 50)]);
}

#[test]
fn what_the_host_has_not_granted_is_held_until_it_has() {
    let mut world = World::with_windows(1_000, 10, 100);
    assert_eq!(world.inject(1, b"12345678"), 8);
    assert_eq!(world.inject(2, b"ABCD"), 2, "more was not granted");
    world.client(text(0, "abc"));
    world.client(text(0, "defghij"));
    let expected = [text(9, "12345678"), text(9, "AB")];
    assert_eq!(world.to_host, expected);
    assert!(world.relay.held() >= 10);
    world.forget();
    assert_eq!(world.inject(2, b"CD"), 0);
    world.host(adjust(0, 4));
    assert_eq!(world.to_host, [text(9, "abcd")]);
    assert_eq!(world.inject(2, b"CD"), 0, "what is held goes first");
    world.forget();
    world.host(adjust(0, 20));
    assert_eq!(world.to_host, [text(9, "efghij")]);
    assert_eq!(world.to_client, [adjust(7, 14)], "ten bytes are paid back");
    assert_eq!(world.relay.held(), 0);
    assert_eq!(world.inject(2, b"CD"), 2);
    // The recording has everything in the order of the host's input.
    assert_eq!(
        world.witness.bytes[&(0, "stdin")],
        b"12345678ABabcdefghijCD"
    );
}

#[test]
fn an_eof_and_a_close_follow_what_is_held() {
    let mut world = World::with_windows(1_000, 4, 100);
    world.inject(1, b"1234");
    world.client(text(0, "abcd"));
    world.client(eof(0));
    world.forget();
    world.host(adjust(0, 3));
    assert_eq!(world.to_host, [text(9, "abc")]);
    world.forget();
    world.client(close(0));
    assert!(world.to_host.is_empty());
    assert_eq!(world.relay.channels(), 1);
    world.host(adjust(0, 3));
    assert_eq!(world.to_host, [text(9, "d"), eof(9), close(9)]);
    world.host(close(0));
    assert_eq!(world.to_client, [close(7)]);
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn a_host_that_closes_while_bytes_are_held_gets_its_close_at_once() {
    let holding = || {
        let mut world = World::with_windows(1_000, 4, 100);
        world.inject(1, b"1234");
        world.client(text(0, "abcd"));
        world.client(eof(0));
        world.forget();
        world
    };
    // The client has closed before.
    let mut world = holding();
    world.client(close(0));
    world.host(close(0));
    assert_eq!(world.to_host, [close(9)]);
    assert_eq!(world.relay.channels(), 0);
    assert_eq!(world.to_client, [close(7)]);
    // It closes afterwards.
    let mut world = holding();
    world.host(close(0));
    assert!(world.to_host.is_empty());
    assert_eq!(world.relay.held(), 0);
    world.client(close(0));
    assert_eq!(world.to_host, [close(9)]);
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn a_session_that_is_ended_while_bytes_are_held_forgets_them() {
    let mut world = World::with_windows(1_000, 4, 100);
    world.inject(1, b"1234");
    world.client(text(0, "ab"));
    world.client(eof(0));
    world.forget();
    world.end_session();
    assert_eq!(world.to_host, [close(9)]);
    assert_eq!(world.relay.held(), 0);
    world.forget();
    world.host(adjust(0, 100));
    assert!(world.to_host.is_empty() && world.to_client.is_empty());
    world.client(close(0));
    world.host(close(0));
    assert_eq!(world.relay.channels(), 0);
}

/// A host that never grants again, and a client that sends all that it may: what is held is never more
/// than what participants were let use.
#[test]
fn what_is_held_is_bounded() {
    const WINDOW: u32 = 2 * 1024 * 1024;
    let mut world = World::with_windows(WINDOW, WINDOW, 32_768);
    let mut typed = 0;
    while let taken @ 1.. = world.inject(1, &[1; 10_000]) {
        typed += taken;
    }
    assert_eq!(typed, 1024 * 1024 + 64 * 1024);
    for _ in 0..WINDOW / 32_768 {
        world.client(data(0, 32_768));
    }
    assert_eq!(world.say(Side::Client, &data(0, 1)), Err(Breach::Overrun));
    let held = world.relay.held();
    assert!((typed..3 * typed).contains(&held), "{held} bytes");
    let sent: usize = world.to_host.iter().map(length).sum();
    assert_eq!(sent, WINDOW as usize);

    // A host of tiny packets makes no flood of messages.
    let mut world = World::with_windows(WINDOW, WINDOW, 1);
    while world.inject(1, &[1; 10_000]) > 0 {}
    assert_eq!(world.to_host.len(), 1_024);
}

fn length(message: &Message) -> usize {
    match message {
        Message::Data { data, .. } | Message::ExtendedData { data, .. } => data.len(),
        _ => 0,
    }
}

/// Bytes that are refused are promised to the client, and are not sent: they pay back the debt.
#[test]
fn refused_data_costs_the_host_nothing() {
    let mut world = World::with_windows(1_000, 10, 100);
    world.inject(1, b"12345678");
    world.client(stderr(0, "refused"));
    world.client(text(0, "abc"));
    world.forget();
    // Eight bytes were used, two of the refused ones had been granted, five were not.
    world.host(adjust(0, 3));
    assert_eq!(world.to_host, [text(9, "abc")]);
    assert!(world.to_client.is_empty());
    world.host(adjust(0, 5));
    assert_eq!(world.to_client, [adjust(7, 5)]);
}

#[test]
fn ssh_that_a_participant_types_ends_the_session() {
    let mut world = World::with_session();
    assert_eq!(world.inject(1, b"SSH-2.0-OpenSSH_9.2p1\r\n"), 23);
    assert_eq!(world.inject(1, b"\0\0\x04\x1c\x0a\x14"), 0);
    assert_eq!(world.witness.refused, ["Data nested SSH"]);
    assert_eq!(world.witness.closed, [0]);
    assert_eq!(world.to_host.pop_back(), Some(close(9)));
    // Also where the client types a part of it.
    let mut world = World::with_session();
    world.client(text(0, "SSH-2.0-x\n"));
    assert_eq!(world.inject(1, b"\0\0\x04\x1c\x0a\x14"), 0);
    assert_eq!(world.witness.closed, [0]);
}

#[test]
fn a_notice_is_standard_error_in_the_clients_window() {
    let mut world = World::with_windows(20, 1_000, 8);
    assert!(!world.notify("longer than the window"));
    assert!(world.to_client.is_empty() && world.witness.notices.is_empty());
    assert!(world.notify("bob joined\r\n"));
    assert_eq!(
        world.to_client,
        [stderr(7, "bob join"), stderr(7, "ed\r\n")]
    );
    assert_eq!(world.witness.notices, ["bob joined\r\n"]);
    world.forget();
    // The host knows of twenty bytes, of which eight are left.
    for part in ["01234567", "01234567", "0123"] {
        world.host(text(0, part));
    }
    world.host(eof(0));
    assert_eq!(world.to_client, [text(7, "01234567")]);
    assert!(!world.notify("x"));
    assert!(world.relay.has_room_for(0) && !world.relay.has_room_for(1));
    world.host(close(0));
    assert_eq!(world.witness.closed, [0], "the recording is complete");
    world.forget();
    world.client(adjust(0, 100));
    let expected = [text(7, "01234567"), text(7, "0123"), eof(7), close(7)];
    assert_eq!(world.to_client, expected);
    assert!(world.to_host.is_empty());
    world.client(close(0));
    assert_eq!(world.to_host, [close(9)]);
    assert_eq!(world.relay.channels(), 0);
}

#[test]
fn last_words_are_written_in_what_notices_have_left() {
    let mut world = World::with_windows(20, 1_000, 100);
    assert!(world.notify("seventeen bytes.."));
    assert!(world.relay.has_room_for(3) && !world.relay.has_room_for(4));
    world.forget();
    world.end_session();
    assert_eq!(world.to_client.front(), Some(&stderr(7, "goo")));
}

/// A slow host: reads what has arrived when it likes to, and grants late.
#[derive(Debug)]
struct SlowHost {
    window: u32,
    left: u32,
    max_packet: usize,
    unread: u32,
    got: Vec<u8>,
    got_eof: bool,
    got_close: bool,
}

impl SlowHost {
    /// One that has granted this window, and accepts so much in a message.
    fn new(window: u32, max_packet: u32) -> Self {
        Self {
            window,
            left: window,
            max_packet: max_packet as usize,
            unread: 0,
            got: Vec::new(),
            got_eof: false,
            got_close: false,
        }
    }

    fn hear(&mut self, message: &Message) {
        assert!(!self.got_close);
        match message {
            Message::Data { recipient: 9, data } => {
                assert!(!self.got_eof && !data.is_empty() && data.len() <= self.max_packet);
                let length = u32::try_from(data.len()).unwrap();
                self.left = self.left.checked_sub(length).expect("within the window");
                self.unread += length;
                self.got.extend_from_slice(data);
            }
            Message::Eof { recipient: 9 } => assert!(!std::mem::replace(&mut self.got_eof, true)),
            Message::Close { recipient: 9 } => self.got_close = true,
            other => panic!("nobody says {other:?}"),
        }
    }

    /// Reads some of what has arrived; what it grants, once less than half of the window is left.
    fn read(&mut self, bytes: u32) -> Option<Message> {
        self.unread -= bytes.min(self.unread);
        let used = self.window - self.left - self.unread;
        if used == 0 || self.left >= self.window.div_ceil(2) {
            return None;
        }
        self.left += used;
        Some(adjust(0, used))
    }
}

/// The client and three participants, each typing bytes that only they type.
#[derive(Debug, Default)]
struct Typists {
    sent: [Vec<u8>; 4],
    /// How many bytes the client may send.
    window: u32,
    left: bool,
}

impl Typists {
    fn next(&self, who: usize, length: usize) -> Vec<u8> {
        let next = self.sent[who].len();
        (next..next + length)
            .map(|number| u8::try_from(who * 64 + number % 64).unwrap())
            .collect()
    }

    /// Types so many bytes, or as many as can be taken; whether any were.
    fn type_in(&mut self, world: &mut World, who: usize, length: u32, max_packet: u32) -> bool {
        if self.left {
            return false;
        }
        let taken = if who == 0 {
            let length = length.min(self.window).min(max_packet);
            let data = self.next(who, length as usize);
            self.window -= length;
            world.client(Message::Data {
                recipient: 0,
                data: data.into(),
            });
            length as usize
        } else {
            let data = self.next(who, length as usize);
            world.inject(u16::try_from(who).unwrap(), &data)
        };
        let data = self.next(who, taken);
        self.sent[who].extend(data);
        taken > 0
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Four people type at once to a host that is slow: the host gets each one's bytes complete and in
    /// order, never more than it has granted, and the end after them. The recording has the same bytes
    /// in the same order.
    #[test]
    fn everybodys_bytes_arrive_whole_and_in_order(
        window in prop_oneof![1u32..200, 1u32..100_000],
        max_packet in 1u32..5_000,
        acts in proptest::collection::vec((0usize..7, 0u32..4_000), 0..150),
        closes: bool,
    ) {
        let mut world = World::with_windows(1_000, window, max_packet);
        let mut host = SlowHost::new(window, max_packet);
        let mut typists = Typists { window: first_grant(window), ..Typists::default() };
        let ends = [(7, 0), (8, 0)].into_iter().take(1 + usize::from(closes));
        for (what, length) in acts.into_iter().chain(ends) {
            match what {
                0..=3 => {
                    typists.type_in(&mut world, what, length, max_packet);
                }
                4 => {
                    if let Some(message) = world.to_host.pop_front() {
                        host.hear(&message);
                    }
                }
                5 | 6 => {
                    if let Some(message) = host.read(length) {
                        world.host(message);
                    }
                }
                7 => {
                    typists.left = true;
                    world.client(eof(0));
                }
                _ => world.client(close(0)),
            }
            for message in world.to_client.drain(..) {
                match message {
                    Message::WindowAdjust { recipient: 7, bytes } => typists.window += bytes,
                    other => panic!("nobody says {other:?}"),
                }
            }
            prop_assert!(typists.window <= window, "more is promised than the host has ever granted");
        }
        // The host reads everything.
        while !world.to_host.is_empty() || host.unread > 0 || !host.got_eof {
            while let Some(message) = world.to_host.pop_front() {
                host.hear(&message);
            }
            let unread = host.unread;
            let Some(message) = host.read(unread) else { continue };
            world.host(message);
        }
        for (who, sent) in typists.sent.iter().enumerate() {
            let got: Vec<u8> = host.got.iter().copied()
                .filter(|byte| usize::from(*byte) / 64 == who)
                .collect();
            prop_assert!(got == *sent, "the bytes of {who}");
        }
        prop_assert_eq!(host.got_close, closes);
        let recorded = world.witness.bytes.get(&(0, "stdin")).cloned().unwrap_or_default();
        prop_assert!(recorded == host.got);
        prop_assert_eq!(world.relay.held(), 0);
    }

    /// The same while all of them type without a pause, and the host reads a little at a time: neither
    /// the client nor the participants wait for ever.
    #[test]
    fn neither_side_waits_for_ever_for_the_other(
        window in prop_oneof![1u32..200, 1u32..100_000],
        max_packet in 100u32..5_000,
        order in proptest::collection::vec(0usize..4, 4..20),
    ) {
        let mut world = World::with_windows(1_000, window, max_packet);
        let mut host = SlowHost::new(window, max_packet);
        let mut typists = Typists { window: first_grant(window), ..Typists::default() };
        let mut taken = [0; 2];
        for round in 0..60 {
            for who in order.iter().chain(&[0, 1, 2, 3]) {
                // A round begins with another one each time: what is left goes to the first.
                let who = (who + round) % 4;
                let length = window.min(4_000);
                let any = typists.type_in(&mut world, who, length, max_packet);
                taken[who.min(1)] += usize::from(any);
            }
            while let Some(message) = world.to_host.pop_front() {
                host.hear(&message);
            }
            if let Some(message) = host.read(window / 2 + 1) {
                world.host(message);
            }
            for message in world.to_client.drain(..) {
                if let Message::WindowAdjust { bytes, .. } = message {
                    typists.window += bytes;
                }
            }
        }
        prop_assert!(taken.iter().all(|times| *times > 3), "{taken:?}");
    }
}
