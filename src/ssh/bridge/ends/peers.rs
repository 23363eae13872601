//! A user whose session runs, and the host that it runs on; either may end it in its own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

use crate::ssh::bridge::faults::{opening, transport};
use crate::ssh::leg::{Leg, LegError};
use crate::wire::DisconnectReason;
use crate::wire::connection::{Message, OpenFailure, STDERR};

/// What a peer does once the session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing but to answer.
    Stay,
    /// It closes its stream.
    Leave,
    /// It disconnects with the word `bye`.
    SayGoodbye,
    /// The host: it opens no session, and disconnects.
    RefuseWithGoodbye,
    /// What it sends is damaged on its way.
    Garble,
    /// The user: it sends data for a channel that does not exist.
    WriteToNoChannel,
    /// The host: it reads and says nothing any more.
    FallSilent,
}

/// What a peer has read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) stderr: String,
    pub(super) status: Option<u32>,
    /// The code and the text with which it was disconnected.
    pub(super) goodbye: Option<(u32, String)>,
}

struct Peer {
    leg: Leg<DuplexStream>,
    seen: Seen,
    /// Whether what it sends is damaged on its way.
    garbled: Arc<AtomicBool>,
    is_silent: bool,
}

impl Peer {
    fn new(stream: DuplexStream, is_server: bool, garbled: Arc<AtomicBool>) -> Self {
        Self {
            leg: Leg::new(stream, transport(is_server)),
            seen: Seen::default(),
            garbled,
            is_silent: false,
        }
    }

    fn send(&mut self, message: &Message) {
        opening::send(&mut self.leg, message);
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            match opening::next(&mut self.leg).await {
                Ok(Message::GlobalRequest { want_reply, .. }) => {
                    if want_reply && !self.is_silent {
                        self.send(&Message::RequestFailure);
                    }
                }
                Ok(message) => return Some(message),
                Err(LegError::Disconnected { reason, text }) => {
                    self.seen.goodbye = Some((reason, text));
                    return None;
                }
                Err(_gone) => return None,
            }
        }
    }

    /// Does what it does; whether it is there afterwards.
    async fn act(&mut self, act: Act) -> bool {
        match act {
            Act::Stay => {}
            Act::Leave => {
                self.leg.send_ready().await;
                return false;
            }
            Act::SayGoodbye | Act::RefuseWithGoodbye => {
                let reason = DisconnectReason::ByApplication;
                self.leg.transport.disconnect(reason, "bye");
                self.leg.send_ready().await;
                return false;
            }
            Act::Garble => {
                self.leg.send_ready().await;
                // What is on its way arrives as it is.
                tokio::task::yield_now().await;
                self.garbled.store(true, Ordering::Relaxed);
                self.send(&Message::RequestFailure);
            }
            Act::WriteToNoChannel => self.send(&Message::Data {
                recipient: 99,
                data: Bytes::from_static(b"x"),
            }),
            Act::FallSilent => self.is_silent = true,
        }
        true
    }
}

/// Has a command run, and says so to `running`.
pub(super) async fn user(
    stream: DuplexStream,
    act: Act,
    garbled: Arc<AtomicBool>,
    running: &Notify,
) -> Seen {
    let mut peer = Peer::new(stream, false, garbled);
    while let Some(message) = peer.next().await {
        match message {
            Message::OpenConfirmation { sender, .. } => {
                peer.send(&opening::exec(sender, true));
            }
            Message::Success { .. } => {
                running.notify_one();
                if !peer.act(act).await {
                    break;
                }
            }
            Message::ExtendedData {
                code: STDERR, data, ..
            } => {
                peer.seen.stderr.push_str(&String::from_utf8_lossy(&data));
            }
            Message::Request { kind, data, .. } if kind.as_str() == "exit-status" => {
                peer.seen.status = data.first_chunk().copied().map(u32::from_be_bytes);
            }
            _ => {}
        }
    }
    peer.seen
}

/// Runs a command that never ends.
pub(super) async fn host(stream: DuplexStream, act: Act, garbled: Arc<AtomicBool>) -> Seen {
    let mut peer = Peer::new(stream, true, garbled);
    let mut number = 0;
    while let Some(message) = peer.next().await {
        match message {
            Message::Open { sender, .. } if act == Act::RefuseWithGoodbye => {
                peer.send(&Message::OpenFailure {
                    recipient: sender,
                    reason: OpenFailure::ResourceShortage as u32,
                    text: Bytes::new(),
                    language: Bytes::new(),
                });
                if !peer.act(act).await {
                    break;
                }
            }
            Message::Open { sender, .. } => {
                number = sender;
                peer.send(&opening::confirmation(number));
            }
            Message::Request { want_reply, .. } => {
                if want_reply {
                    peer.send(&Message::Success { recipient: number });
                }
                if !peer.act(act).await {
                    break;
                }
            }
            _ => {}
        }
    }
    peer.seen
}
