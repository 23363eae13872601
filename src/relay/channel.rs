//! One channel: its two ends, and how far it is.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Side;
use super::forward::{Destination, Listener};
use super::nested::NestedSsh;
use super::tap::Pty;

/// Requests of one side that may wait for their reply at a time.
const MAX_REPLIES: usize = 256;
/// Environment variables that one session may ask for, and their bytes in all.
const MAX_ENVIRONMENT: usize = 128;
const MAX_ENVIRONMENT_BYTES: usize = 64 * 1024;

/// What a request of one side waits for. Replies must come in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The other side's answer.
    Relayed {
        /// To the request that starts the session.
        start: bool,
    },
    /// The host's answer, which says whether it listens.
    Listen(Listener),
    /// Ours, once its turn has come.
    Refused,
    /// The other side's answer to a question of our own, which that side has not asked.
    Own,
}

/// Replies owed to one side, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replies(VecDeque<Reply>);

impl Replies {
    /// Takes note of a request; `false` when too many wait.
    #[must_use]
    pub(super) fn expect(&mut self, reply: Reply) -> bool {
        let fits = self.0.len() < MAX_REPLIES;
        if fits {
            self.0.push_back(reply);
        }
        fits
    }

    /// The other side has answered: which request that was, or `None` when it was not asked.
    pub(super) fn answered(&mut self) -> Option<Reply> {
        match self.0.front() {
            Some(Reply::Relayed { .. } | Reply::Listen(_) | Reply::Own) => self.0.pop_front(),
            Some(Reply::Refused) | None => None,
        }
    }

    /// The next reply that is ours to give, if it is the next.
    pub(super) fn next_refusal(&mut self) -> bool {
        let ours = self.0.front() == Some(&Reply::Refused);
        if ours {
            self.0.pop_front();
        }
        ours
    }
}

/// One side's end of a channel.
#[derive(Debug, Default)]
pub(super) struct End {
    /// That side's number for the channel.
    pub(super) number: u32,
    /// Bytes that may still be sent to that side.
    pub(super) window: u32,
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

/// How far a channel is.
#[derive(Debug)]
pub(super) enum Phase {
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
    Running,
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
    environment_bytes: usize,
    /// Data was refused already; once is enough for the audit log.
    pub(super) data_refused: bool,
}

impl Setup {
    /// Notes a variable; `false` when there are too many.
    #[must_use]
    pub(super) fn add_variable(&mut self, name: Bytes, value: Bytes) -> bool {
        self.environment_bytes += name.len() + value.len();
        let fits = self.environment.len() < MAX_ENVIRONMENT
            && self.environment_bytes <= MAX_ENVIRONMENT_BYTES;
        if fits {
            self.environment.push((name, value));
        }
        fits
    }
}

/// A channel with its two ends.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) client: End,
    pub(super) host: End,
    pub(super) phase: Phase,
    /// Where it leads, if it is a forwarded one.
    pub(super) destination: Option<Destination>,
}

impl Channel {
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Host => &mut self.host,
        }
    }

    /// Whether nothing needs to be sent to that side any more: it has closed its end, or the proxy
    /// has ended the channel.
    pub(super) fn is_deaf(&mut self, side: Side) -> bool {
        matches!(self.phase, Phase::Ended) || self.end(side).said_close
    }
}
