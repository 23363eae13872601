//! One channel: its two ends, and how far it is.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Side;
use super::content::Value;
use super::forward::{Destination, Listener};
use super::nested::{Handshakes, NestedSsh};
use super::tap::{Kind, Pty, RelayedMessage, Start};

/// Requests of one side that may wait for their reply at a time.
const MAX_REPLIES: usize = 256;
/// Environment variables that one session may ask for.
const MAX_ENVIRONMENT: usize = 128;
/// Other requests before a session begins.
const MAX_ASKED: usize = 128;
/// Bytes of all that.
const MAX_ASKED_BYTES: usize = 64 * 1024;
/// Grants smaller than this are collected, as long as the other side has as much left.
const GRANT: u32 = 32 * 1024;
/// The most that one side is granted at a time: what crosses a link of 1 Gbit/s in an eighth of a second.
const MAX_GRANT: u32 = 16 * 1024 * 1024;

/// What a request of one side waits for. Replies must come in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PendingReply {
    /// The other side's answer.
    Relayed {
        /// To the request that starts the session.
        start: bool,
    },
    /// A no, whatever the other side answers: that it answers is all there is to know.
    Bare,
    /// The host's answer, which says whether it listens.
    Listen(Listener),
    /// Ours, once its turn has come.
    Refused,
    /// The other side's answer to a question of our own, which that side has not asked.
    Own,
}

/// Replies owed to one side, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replies(VecDeque<PendingReply>);

impl Replies {
    /// Takes note of a request; `false` when too many wait.
    #[must_use]
    pub(super) fn expect(&mut self, reply: PendingReply) -> bool {
        let fits = self.0.len() < MAX_REPLIES;
        if fits {
            self.0.push_back(reply);
        }
        fits
    }

    /// The other side has answered: which request that was, or `None` when it was not asked.
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

    /// The next reply that is ours to give, if it is the next.
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
    /// That side's number for the channel.
    pub(super) number: u32,
    /// Bytes that may still be sent to that side, as the other one knows.
    pub(super) window: u32,
    /// Bytes that it has granted beyond that, and the other side has not been told of.
    pub(super) untold: u32,
    /// The most data that side takes in one message.
    pub(super) max_packet: u32,
    /// Replies owed to that side.
    pub(super) replies: Replies,
    /// That side has sent EOF.
    pub(super) said_eof: bool,
    /// That side has sent CLOSE.
    pub(super) said_close: bool,
    /// That side has been sent CLOSE.
    pub(super) told_close: bool,
}

impl ChannelEnd {
    /// The end of a side that takes this much.
    pub(super) fn new(number: u32, window: u32, max_packet: u32) -> Self {
        let mut end = Self {
            number,
            untold: window,
            max_packet,
            ..Self::default()
        };
        end.grant();
        end
    }

    /// Bytes that this side takes, whether the other one knows or not.
    pub(super) fn takes(&self) -> u32 {
        self.window.saturating_add(self.untold)
    }

    /// Adds what that side has granted; `false` when it is more than there is.
    #[must_use]
    pub(super) fn add(&mut self, bytes: u32) -> bool {
        let sum = self.window.checked_add(self.untold);
        let fits = sum.and_then(|sum| sum.checked_add(bytes)).is_some();
        if fits {
            self.untold += bytes;
        }
        fits
    }

    /// What the other side is to be told of now, which may be nothing.
    ///
    /// A number of bytes is a number that crosses: so it is a round one, but for a side that has little left.
    /// And it is bounded, however much is granted.
    pub(super) fn grant(&mut self) -> u32 {
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

/// How far a channel is.
#[derive(Debug)]
pub(super) enum ChannelPhase {
    /// One side has asked, the other has not answered.
    Opening {
        /// Who asked.
        opener: Side,
        /// For a forwarded channel.
        forwarded: bool,
    },
    /// Open, nothing runs yet.
    Setup(Setup),
    /// A session runs, and is recorded.
    Running(Handshakes),
    /// A forwarded channel, open and recorded.
    Forwarded(NestedSsh),
    /// Ended by the proxy: what still arrives is dropped until both sides have closed.
    Ended,
}

/// What the client asks for before the session starts.
#[derive(Debug, Default)]
pub(super) struct Setup {
    pub(super) pty: Option<Pty>,
    pub(super) environment: Vec<(Bytes, Bytes)>,
    pub(super) asked: Vec<RelayedMessage>,
    bytes: usize,
    /// Data was refused already; once is enough for the audit log.
    pub(super) data_refused: bool,
}

impl Setup {
    /// Notes a variable; `false` when there are too many.
    #[must_use]
    pub(super) fn add_variable(&mut self, name: &Bytes, value: &Bytes) -> bool {
        let fits =
            self.environment.len() < MAX_ENVIRONMENT && self.admits(name.len() + value.len());
        if fits {
            self.environment.push((kept(name), kept(value)));
        }
        fits
    }

    /// Notes another request; `false` when there are too many.
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

    /// How a session begins that was asked for in this way.
    pub(super) fn into_start(self, kind: Kind) -> Start {
        Start {
            kind,
            pty: self.pty,
            environment: self.environment,
            asked: self.asked,
        }
    }

    /// Whether anything has crossed.
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

/// A copy: what is kept for long must not keep the packet that it came in.
pub(super) fn kept(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A channel with its two ends.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) client: ChannelEnd,
    pub(super) host: ChannelEnd,
    pub(super) phase: ChannelPhase,
    /// Where it leads, if it is a forwarded one.
    pub(super) destination: Option<Destination>,
}

impl Channel {
    pub(super) fn end(&mut self, side: Side) -> &mut ChannelEnd {
        match side {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        }
    }

    /// Whether nothing needs to be sent to that side any more: it has closed its end, or the proxy
    /// has ended the channel.
    pub(super) fn is_deaf(&mut self, side: Side) -> bool {
        matches!(self.phase, ChannelPhase::Ended) || self.end(side).said_close
    }
}
