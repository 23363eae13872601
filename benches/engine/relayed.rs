//! Messages through the relay, to a witness that only counts.

use std::hint::black_box;

use bytes::Bytes;
use rproxy::model::ParticipantId;
use rproxy::relay::{
    ChannelKey, Destination, Exit, Note, Peers, RefusedMessage, Relay, RelayedMessage, Side, Start,
    Stream, Tap,
};
use rproxy::wire::connection::{Message, Name};

use super::{Result, Work};

/// Messages in one run.
const MESSAGES: usize = 64;

/// Lets everything pass.
#[derive(Debug, Default)]
struct Witness {
    bytes: usize,
}

impl Tap for Witness {
    fn start(&mut self, _: ChannelKey, _: &Start) -> std::result::Result<(), String> {
        Ok(())
    }
    fn forward(&mut self, _: ChannelKey, _: &Destination) -> std::result::Result<(), String> {
        Ok(())
    }
    fn global(&mut self, _: &RelayedMessage) -> std::result::Result<(), String> {
        Ok(())
    }
    fn abandoned(&mut self, _: &Start) {}
    fn data(&mut self, _: ChannelKey, _: Stream, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
    fn injected(&mut self, _: ChannelKey, _: ParticipantId, _: &[u8]) {}
    fn notified(&mut self, _: ChannelKey, _: &str) {}
    fn resize(&mut self, _: ChannelKey, _: u32, _: u32) {}
    fn note(&mut self, _: ChannelKey, _: &Note) {}
    fn exit(&mut self, _: ChannelKey, _: &Exit) {}
    fn closed(&mut self, _: ChannelKey) {}
    fn refused(&mut self, _: RefusedMessage<'_>) {}
}

pub(super) fn bulk() -> Result<Work> {
    relay(32 * 1024)
}

pub(super) fn small() -> Result<Work> {
    relay(1)
}

/// Data from the host on a running session, each message parsed, judged, shown and written anew.
fn relay(size: usize) -> Result<Work> {
    let mut relay = Relay::new(Peers::default(), std::sync::Arc::default());
    let mut witness = Witness::default();
    let mut out = Vec::new();
    for (from, message) in opening() {
        relay.on_packet(from, &payload(&message), &mut witness, &mut out)?;
    }
    out.clear();
    let data = payload(&Message::Data {
        recipient: 0,
        data: vec![7; size].into(),
    });
    let length = u32::try_from(size * MESSAGES)?;
    let adjust = payload(&Message::WindowAdjust {
        recipient: 0,
        bytes: length,
    });
    Ok(Work {
        bytes: size * MESSAGES,
        operations: MESSAGES,
        run: Box::new(move || {
            relay.on_packet(Side::Client, &adjust, &mut witness, &mut out)?;
            for _ in 0..MESSAGES {
                relay.on_packet(Side::Host, black_box(&data), &mut witness, &mut out)?;
            }
            for outgoing in out.drain(..) {
                black_box(outgoing.message.encode());
            }
            Ok(())
        }),
    })
}

/// A session that runs a shell.
fn opening() -> [(Side, Message); 4] {
    [
        (
            Side::Client,
            Message::Open {
                kind: Name::from_static("session"),
                sender: 0,
                window: 2 << 20,
                max_packet: 32 * 1024,
                data: Bytes::new(),
            },
        ),
        (
            Side::Host,
            Message::OpenConfirmation {
                recipient: 0,
                sender: 0,
                window: 2 << 20,
                max_packet: 32 * 1024,
                data: Bytes::new(),
            },
        ),
        (
            Side::Client,
            Message::Request {
                recipient: 0,
                kind: Name::from_static("shell"),
                want_reply: true,
                data: Bytes::new(),
            },
        ),
        (Side::Host, Message::Success { recipient: 0 }),
    ]
}

fn payload(message: &Message) -> Bytes {
    let (head, body) = message.encode();
    [head.as_slice(), &body].concat().into()
}
