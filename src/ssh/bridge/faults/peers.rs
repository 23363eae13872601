//! The two honest peers: a user who runs a command, and a host that runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::stream::Faulty;
use super::{opening, transport};
use crate::ssh::leg::Leg;
use crate::wire::DisconnectReason;
use crate::wire::connection::{Head, Message, Name, STDERR};

/// What the user types, piece by piece.
pub(super) const TYPED: [&[u8]; 6] = [
    b"a",
    b"second piece of what is typed",
    &[0xff; 700],
    b"0",
    b"more\r\n",
    &[7; 90],
];
/// What the host says before it has read anything.
const GREETING: &[u8] = b"hello ";
/// How the command ends.
pub(super) const STATUS: u32 = 7;
/// The piece after which a side changes keys.
const USER_REKEYS: usize = 1;
const HOST_REKEYS: usize = 3;

/// So many bytes of one stream were said once so many had left.
pub(super) type Mark = (usize, usize);

/// What one end has seen and said.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) stdin: Vec<u8>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) status: Option<u32>,
    /// The channel was closed by both sides.
    pub(super) closed: bool,
    /// Of standard input at the user, of standard output at the host.
    pub(super) marks: Vec<Mark>,
}

pub(super) struct FaultPeer {
    pub(super) leg: Leg<Faulty>,
    sent: Arc<AtomicUsize>,
    seen: Observed,
}

impl FaultPeer {
    pub(super) fn new(stream: Faulty, is_server: bool) -> Self {
        Self {
            sent: stream.writing.moved(),
            leg: Leg::new(stream, transport(is_server)),
            seen: Observed::default(),
        }
    }

    pub(super) fn send(&mut self, message: &Message) {
        opening::send(&mut self.leg, message);
    }

    /// Notes what has been said so far, unless it waits for new keys.
    fn mark(&mut self, said: usize) {
        if self.leg.transport.held_back() == 0 {
            let queued = self.leg.transport.output().len();
            let position = self.sent.load(Ordering::Relaxed) + queued;
            self.seen.marks.push((position, said));
        }
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match opening::next(&mut self.leg).await {
                Ok(Message::GlobalRequest { want_reply, .. }) => {
                    if want_reply {
                        self.send(&Message::RequestFailure);
                    }
                }
                Ok(message) => return Some(message),
                Err(_end) => return None,
            }
        }
    }
}

/// Has a command run, types, and reads until it ends.
pub(super) async fn user(stream: Faulty) -> Observed {
    let mut peer = FaultPeer::new(stream, false);
    let mut number = 0;
    while let Some(message) = peer.next().await {
        match message {
            Message::OpenConfirmation { sender, .. } => {
                number = sender;
                peer.send(&opening::exec(number, true));
            }
            Message::Success { .. } => type_all(&mut peer, number),
            Message::Data { data, .. } => peer.seen.stdout.extend_from_slice(&data),
            Message::ExtendedData { data, .. } => peer.seen.stderr.extend_from_slice(&data),
            Message::Request { kind, data, .. } if kind.as_str() == "exit-status" => {
                peer.seen.status = data.first_chunk().copied().map(u32::from_be_bytes);
            }
            Message::Close { .. } => {
                peer.send(&Message::Close { recipient: number });
                peer.seen.closed = true;
                let reason = DisconnectReason::ByApplication;
                peer.leg.disconnect(reason, "bye").await;
                break;
            }
            _ => {}
        }
    }
    peer.seen
}

fn type_all(peer: &mut FaultPeer, recipient: u32) {
    for (number, piece) in TYPED.into_iter().enumerate() {
        peer.send(&Message::Data {
            recipient,
            data: Bytes::from_static(piece),
        });
        peer.seen.stdin.extend_from_slice(piece);
        peer.mark(peer.seen.stdin.len());
        if number == USER_REKEYS {
            let begun = peer.leg.transport.start_rekey();
            begun.expect("keys may change");
        }
    }
    peer.send(&Message::Eof { recipient });
}

/// Repeats what it reads, on standard output, and every second piece on standard error too.
pub(super) async fn host(stream: Faulty) -> Observed {
    let mut peer = FaultPeer::new(stream, true);
    let mut number = 0;
    let mut pieces = 0;
    while let Some(message) = peer.next().await {
        match message {
            Message::Open { sender, .. } => {
                number = sender;
                peer.send(&opening::confirmation(number));
            }
            Message::Request { want_reply, .. } => {
                if want_reply {
                    peer.send(&Message::Success { recipient: number });
                }
                say(&mut peer, number, Bytes::from_static(GREETING));
            }
            Message::Data { data, .. } => {
                peer.seen.stdin.extend_from_slice(&data);
                if pieces % 2 == 1 {
                    peer.seen.stderr.extend_from_slice(&data);
                    peer.send(&Message::ExtendedData {
                        recipient: number,
                        code: STDERR,
                        data: data.clone(),
                    });
                }
                say(&mut peer, number, data);
                if pieces == HOST_REKEYS {
                    let begun = peer.leg.transport.start_rekey();
                    begun.expect("keys may change");
                }
                pieces += 1;
            }
            Message::Eof { .. } => {
                peer.send(&Message::Request {
                    recipient: number,
                    kind: Name::from_static("exit-status"),
                    want_reply: false,
                    data: Head::of_data().uint32(STATUS).into_bytes(),
                });
                peer.send(&Message::Eof { recipient: number });
                peer.send(&Message::Close { recipient: number });
            }
            Message::Close { .. } => peer.seen.closed = true,
            _ => {}
        }
    }
    peer.seen
}

fn say(peer: &mut FaultPeer, recipient: u32, data: Bytes) {
    peer.seen.stdout.extend_from_slice(&data);
    peer.send(&Message::Data { recipient, data });
    peer.mark(peer.seen.stdout.len());
}
