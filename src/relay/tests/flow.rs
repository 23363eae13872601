//! The flow of one session's bytes while nobody but its client types: every message is what the plain
//! rule says, which is written here once more.

use super::*;
use crate::wire::connection::Message as Said;

/// Smaller grants are collected, as long as the other side has that much window left.
const GRANT: u32 = 32 * 1024;
/// The most window that is passed on at a time.
const MAX_GRANT: u32 = 16 * 1024 * 1024;

/// One end of a channel by the plain rule: a grant is passed on, data uses it up.
#[derive(Debug, Default)]
struct PlainEnd {
    number: u32,
    window: u32,
    untold: u32,
    max_packet: u32,
    said_eof: bool,
    said_close: bool,
}

impl PlainEnd {
    fn new(number: u32, window: u32, max_packet: u32) -> Self {
        let mut end = Self {
            number,
            untold: window,
            max_packet,
            ..Self::default()
        };
        end.grant();
        end
    }

    fn grant(&mut self) -> u32 {
        let most = self.untold.min(MAX_GRANT.saturating_sub(self.window));
        let grant = match most / GRANT {
            0 if self.window < GRANT => most,
            whole => whole * GRANT,
        };
        self.window += grant;
        self.untold -= grant;
        grant
    }
}

/// A running session by the plain rule.
#[derive(Debug)]
struct PlainSession {
    client: PlainEnd,
    host: PlainEnd,
}

impl PlainSession {
    /// The end that speaks, and the one that hears.
    fn ends(&mut self, from: Side) -> (&mut PlainEnd, &mut PlainEnd) {
        match from {
            Side::Client => (&mut self.client, &mut self.host),
            Side::Host => (&mut self.host, &mut self.client),
        }
    }

    fn is_over(&self) -> bool {
        self.client.said_close && self.host.said_close
    }

    /// What one side says, and all that follows from it.
    fn say(&mut self, from: Side, message: &Said) -> Result<Vec<Outgoing>, Breach> {
        let is_over = self.is_over();
        let (own, other) = self.ends(from);
        if own.said_close || is_over {
            return Err(Breach::NoChannel(0));
        }
        let to = |to: Side, message: Said| vec![Outgoing { to, message }];
        match message {
            Said::WindowAdjust { bytes, .. } => {
                let sum = own.window.checked_add(own.untold);
                let fits = sum.and_then(|sum| sum.checked_add(*bytes)).is_some();
                if !fits {
                    return Err(Breach::Window);
                }
                own.untold += bytes;
                Ok(Self::grants(own, other, from.other()))
            }
            Said::Data { data, .. } | Said::ExtendedData { data, .. } => {
                let length = u32::try_from(data.len()).unwrap();
                if own.said_eof {
                    return Err(Breach::Order("data"));
                }
                if length > other.max_packet || length > other.window {
                    return Err(Breach::Overrun);
                }
                other.window -= length;
                let mut out = Self::grants(other, own, from);
                let is_stderr = matches!(message, Said::ExtendedData { .. });
                let refused = is_stderr && from == Side::Client;
                if other.said_close || refused || length == 0 {
                    return Ok(out);
                }
                out.extend(to(from.other(), data_for(message, other.number)));
                Ok(out)
            }
            Said::Eof { .. } => {
                if std::mem::replace(&mut own.said_eof, true) {
                    return Err(Breach::Order("an EOF"));
                }
                if other.said_close {
                    return Ok(Vec::new());
                }
                Ok(to(from.other(), eof(other.number)))
            }
            Said::Close { .. } => {
                own.said_close = true;
                Ok(to(from.other(), close(other.number)))
            }
            other => panic!("nobody says {other:?}"),
        }
    }

    /// The grants of an end that are due, for the side that sends to it.
    fn grants(of: &mut PlainEnd, sender: &PlainEnd, to: Side) -> Vec<Outgoing> {
        if sender.said_close || of.said_close {
            return Vec::new();
        }
        let bytes = of.grant();
        let message = adjust(sender.number, bytes);
        let due = (bytes > 0).then_some(Outgoing { to, message });
        due.into_iter().collect()
    }
}

fn data_for(message: &Said, recipient: u32) -> Said {
    match message.clone() {
        Said::ExtendedData { code, data, .. } => Said::ExtendedData {
            recipient,
            code,
            data,
        },
        Said::Data { data, .. } => Said::Data { recipient, data },
        other => panic!("{other:?} has no data"),
    }
}

/// What one side does next; lengths are parts of what it may send.
#[derive(Clone, Copy, Debug)]
enum Utterance {
    Data(u32),
    Stderr(u32),
    Adjust(u32),
    Eof,
    Close,
    TooMuch,
}

fn act() -> impl Strategy<Value = Utterance> {
    prop_oneof![
        12 => (0u32..=100).prop_map(Utterance::Data),
        3 => (0u32..=100).prop_map(Utterance::Stderr),
        6 => (0u32..200_000).prop_map(Utterance::Adjust),
        1 => (0u32..=u32::MAX).prop_map(Utterance::Adjust),
        1 => Just(Utterance::Eof),
        1 => Just(Utterance::Close),
        1 => Just(Utterance::TooMuch),
    ]
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Host)]
}

fn window() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..70_000, 0u32..5_000_000, Just(2_097_152), any::<u32>()]
}

fn max_packet() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..300, Just(16_384), Just(32_768)]
}

/// A session of these windows and packet sizes, and the same one by the plain rule.
fn both(client: (u32, u32), host: (u32, u32)) -> (World, PlainSession) {
    let mut world = World::default();
    world.client(Said::Open {
        kind: Name::from_static("session"),
        sender: 7,
        window: client.0,
        max_packet: client.1,
        data: Bytes::new(),
    });
    world.host(Said::OpenConfirmation {
        recipient: 0,
        sender: 9,
        window: host.0,
        max_packet: host.1,
        data: Bytes::new(),
    });
    world.client(request("exec", Head::of_data().string(b"cat")));
    world.host(success(0));
    world.forget();
    let plain = PlainSession {
        client: PlainEnd::new(7, client.0, client.1),
        host: PlainEnd::new(9, host.0, host.1),
    };
    (world, plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_message_is_what_the_plain_rule_says(
        client in (window(), max_packet()),
        host in (window(), max_packet()),
        acts in proptest::collection::vec((side(), act()), 0..120),
    ) {
        let (mut world, mut plain) = both(client, host);
        for (from, act) in acts {
            let (_, receiver) = plain.ends(from);
            let most = receiver.window.min(receiver.max_packet);
            let length = |part: u32| (u64::from(most) * u64::from(part) / 100) as usize;
            let stderr = |length| Said::ExtendedData {
                recipient: 0, code: STDERR, data: vec![8; length].into(),
            };
            let message = match act {
                Utterance::Data(part) => data(0, length(part)),
                Utterance::Stderr(part) => stderr(length(part)),
                Utterance::Adjust(bytes) => adjust(0, bytes),
                Utterance::Eof => eof(0),
                Utterance::Close => close(0),
                Utterance::TooMuch => data(0, most as usize + 1),
            };
            let (head, body) = message.encode();
            let payload = Bytes::from([head.as_slice(), &body].concat());
            let mut out = Vec::new();
            let said = world.relay.on_packet(from, &payload, &mut world.witness, &mut out);
            let said = said.map(|()| out).map_err(|violation| violation.what);
            let expected = plain.say(from, &message);
            prop_assert_eq!(&said, &expected, "{} says {:?}", from, message);
            if expected.is_err() || plain.is_over() {
                break;
            }
            prop_assert!(world.relay.has_room_for(0));
        }
    }
}

/// The room for last words is what the client has granted, also what the host does not know of yet.
#[test]
fn the_room_for_text_is_all_that_the_client_has_granted() {
    let (mut world, _) = both((40_000, 32_768), (2_097_152, 32_768));
    world.host(data(0, 10_000));
    world.client(adjust(0, 500));
    assert!(world.relay.has_room_for(30_500));
    assert!(!world.relay.has_room_for(30_501));
}
