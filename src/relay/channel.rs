//! One channel: its two ends, and how far it is.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Side;
use super::content::Value;
use super::forward::{Destination, Listener};
use super::nested::{Handshakes, NestedSsh};
use super::tap::{Kind, Pty, RelayedMessage, Start};
use super::window::Window;

/// How many requests of one side may wait for a reply.
const MAX_REPLIES: usize = 256;
/// How many environment variables one session may ask for.
const MAX_ENVIRONMENT: usize = 128;
/// How many other requests are kept before a session begins.
const MAX_ASKED: usize = 128;
/// How many bytes these requests may have in all.
const MAX_ASKED_BYTES: usize = 64 * 1024;

/// How a request of one side is answered. Replies must be sent in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PendingReply {
    /// By the other side's reply.
    Relayed {
        /// The request starts the session.
        start: bool,
    },
    /// By a failure, whatever the other side replies: that it replies is the only information.
    Bare,
    /// By the host's reply to a request to listen.
    Listen(Listener),
    /// By our own failure, in its order.
    Refused,
    /// Not at all: the request was our own, and the other side does not expect a reply.
    Own,
}

/// The replies that one side waits for, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replies(VecDeque<PendingReply>);

impl Replies {
    /// Adds a request; `false` when too many wait.
    #[must_use]
    pub(super) fn expect(&mut self, reply: PendingReply) -> bool {
        let fits = self.0.len() < MAX_REPLIES;
        if fits {
            self.0.push_back(reply);
        }
        fits
    }

    /// The request that the other side has replied to; `None` when there was none.
    pub(super) fn answered(&mut self) -> Option<PendingReply> {
        match self.0.front() {
            Some(
                PendingReply::Relayed { .. }
                | PendingReply::Bare
                | PendingReply::Listen(_)
                | PendingReply::Own,
            ) => self.0.pop_front(),
            Some(PendingReply::Refused) | None => None,
        }
    }

    /// Whether the request that starts the session was not answered yet.
    pub(super) fn awaits_start(&self) -> bool {
        self.0.contains(&PendingReply::Relayed { start: true })
    }

    /// Removes the next reply if it is our own failure, and so can be sent now.
    pub(super) fn next_refusal(&mut self) -> bool {
        let ours = self.0.front() == Some(&PendingReply::Refused);
        if ours {
            self.0.pop_front();
        }
        ours
    }
}

/// One side's end of a channel.
#[derive(Debug, Default)]
pub(super) struct ChannelEnd {
    /// This side's channel number.
    pub(super) number: u32,
    /// What may be sent to this side.
    pub(super) window: Window,
    /// The most data that this side accepts in one message.
    pub(super) max_packet: u32,
    /// The replies that this side waits for.
    pub(super) replies: Replies,
    /// This side has sent EOF.
    pub(super) said_eof: bool,
    /// This side has sent CLOSE.
    pub(super) said_close: bool,
    /// CLOSE was sent to this side.
    pub(super) told_close: bool,
    /// EOF has to be sent to this side after the data that is held.
    pub(super) owed_eof: bool,
    /// CLOSE has to be sent to this side after the data that is held.
    pub(super) owed_close: bool,
}

impl ChannelEnd {
    /// The end of a side that grants this window.
    pub(super) fn new(number: u32, window: u32, max_packet: u32) -> Self {
        Self {
            number,
            window: Window::new(window),
            max_packet,
            ..Self::default()
        }
    }
}

/// The state of a channel.
#[derive(Debug)]
pub(super) enum ChannelPhase {
    /// One side has asked for it, the other has not answered.
    Opening {
        /// The side that asked.
        opener: Side,
        /// For a forwarded channel.
        forwarded: bool,
    },
    /// Open; no session has begun.
    Setup(Setup),
    /// A session runs and is recorded.
    Running(Handshakes),
    /// A forwarded channel, open and recorded.
    Forwarded(NestedSsh),
    /// Closed by the proxy: what still arrives is discarded until both sides have closed.
    Ended,
}

/// The client's requests before the session starts.
#[derive(Debug, Default)]
pub(super) struct Setup {
    pub(super) pty: Option<Pty>,
    pub(super) environment: Vec<(Bytes, Bytes)>,
    pub(super) asked: Vec<RelayedMessage>,
    bytes: usize,
    /// Data was refused already; the audit log needs it only once.
    pub(super) data_refused: bool,
}

impl Setup {
    /// Adds a variable; `false` when there are too many.
    #[must_use]
    pub(super) fn add_variable(&mut self, name: &Bytes, value: &Bytes) -> bool {
        let fits =
            self.environment.len() < MAX_ENVIRONMENT && self.admits(name.len() + value.len());
        if fits {
            self.environment.push((kept(name), kept(value)));
        }
        fits
    }

    /// Adds another request; `false` when there are too many.
    #[must_use]
    pub(super) fn add(&mut self, mut request: RelayedMessage) -> bool {
        let length = |value: &Value| match value {
            Value::Text(bytes) | Value::Bytes(bytes) => bytes.len(),
            Value::Number(_) | Value::Flag(_) => size_of::<u32>(),
        };
        let bytes: usize = request.fields.iter().map(|(_, value)| length(value)).sum();
        let fits = self.asked.len() < MAX_ASKED && self.admits(bytes);
        if fits {
            for (_, value) in &mut request.fields {
                if let Value::Text(bytes) | Value::Bytes(bytes) = value {
                    *bytes = kept(bytes);
                }
            }
            self.asked.push(request);
        }
        fits
    }

    /// The session that was requested in this way.
    pub(super) fn into_start(self, kind: Kind) -> Start {
        Start {
            kind,
            pty: self.pty,
            environment: self.environment,
            asked: self.asked,
        }
    }

    /// Whether no request was passed on.
    pub(super) fn is_empty(&self) -> bool {
        self.pty.is_none() && self.environment.is_empty() && self.asked.is_empty()
    }

    fn admits(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        let fits = sum <= MAX_ASKED_BYTES;
        if fits {
            self.bytes = sum;
        }
        fits
    }
}

/// A copy: a value that is kept must not keep the memory of its packet.
pub(super) fn kept(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A channel with its two ends.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) client: ChannelEnd,
    pub(super) host: ChannelEnd,
    pub(super) phase: ChannelPhase,
    /// Where it leads, if it is a forwarded channel.
    pub(super) destination: Option<Destination>,
}

impl Channel {
    pub(super) fn end(&mut self, side: Side) -> &mut ChannelEnd {
        match side {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        }
    }

    /// Whether nothing has to be sent to this side any more: it has closed its end, or the proxy
    /// has closed the channel.
    pub(super) fn is_deaf(&mut self, side: Side) -> bool {
        matches!(self.phase, ChannelPhase::Ended) || self.end(side).said_close
    }
}
