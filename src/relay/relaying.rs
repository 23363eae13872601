//! The relay itself: one packet in, the messages that follow from it out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::Side;
use super::channel::{Channel, ChannelEnd, ChannelPhase, PendingReply, Replies, Setup};
use super::forward::Expected;
use super::habits::Habits;
use super::step::Step;
use super::tap::{ChannelKey, Kind, Tap};
use crate::access::Permissions;
use crate::wire::connection::{
    EXIT_REFUSED, Ending, MalformedMessage, Message, STDERR, keep_alive, number,
};

/// Channels that one connection may have at a time; sshd's own limit is 10 sessions.
const MAX_CHANNELS: usize = 1_000;
/// What is refused on one connection before it ends.
const MAX_REFUSED: u32 = 10_000;

/// A message for one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Who gets it.
    pub to: Side,
    /// What it says.
    pub message: Message,
}

/// A peer broke the protocol: its connection ends.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the {from} broke the protocol: {what}")]
pub struct Violation {
    /// Who did.
    pub from: Side,
    /// How.
    pub what: Breach,
}

/// How a peer can break the connection protocol.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Breach {
    /// A packet that is no message.
    #[error("{0}")]
    Malformed(#[from] MalformedMessage),
    /// A channel number that was never given out, or is gone.
    #[error("a message for channel {0}, which does not exist")]
    NoChannel(u32),
    /// A message that the channel's state does not allow.
    #[error("{0} is out of order")]
    Order(&'static str),
    /// More data than the other side has granted, or takes in one message.
    #[error("data beyond the window")]
    Overrun,
    /// Grants that add up to more than 2^32 - 1.
    #[error("a window of more than 4 GiB")]
    Window,
    /// More listeners than one connection may have.
    #[error("too many listeners")]
    TooManyListeners,
    /// A reply that nobody asked for.
    #[error("a reply to no request")]
    Reply,
    /// More that is refused than the audit log is to be filled with.
    #[error("too much that is not permitted")]
    TooMuchRefused,
    /// More requests than may wait for a reply.
    #[error("too many requests at once")]
    TooManyRequests,
}

/// What the two sides are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// The client is OpenSSH's.
    pub client_is_openssh: bool,
    /// The host is OpenSSH's.
    pub host_is_openssh: bool,
    /// The host knows agent forwarding by the names of RFC 9987 (`agent-forward` in its extensions).
    pub host_knows_agent_req: bool,
}

impl Peers {
    /// Whether `eow@openssh.com` may be sent to that side. Others than OpenSSH may answer it, though
    /// it asks for no answer (OpenSSH's PROTOCOL, 2.1).
    pub(super) fn takes_eow(self, side: Side) -> bool {
        match side {
            Side::Client => self.client_is_openssh,
            Side::Host => self.host_is_openssh,
        }
    }
}

/// One connection's channels.
#[derive(Debug, Default)]
pub struct Relay {
    pub(super) channels: BTreeMap<u32, Channel>,
    client_replies: Replies,
    host_replies: Replies,
    /// The client has promised to open no more sessions.
    pub(super) last_session: bool,
    /// How much was refused so far.
    pub(super) refused: u32,
    /// What was refused and does not matter.
    pub(super) habits: Habits,
    /// How much came to nothing: messages that go no further, channels on which nothing began.
    pub(super) in_vain: u32,
    pub(super) peers: Peers,
    pub(super) permissions: Arc<Permissions>,
    /// What the client has asked the host to send back.
    pub(super) expected: Expected,
    /// The client has asked for agent forwarding by the name of RFC 9987, and expects its channels by it.
    pub(super) agent_is_by_rfc: bool,
    /// SSH was found inside a forwarded channel, which was closed for it.
    pub(super) closed_nested_ssh: bool,
    /// Whatever the permissions are or become: nothing is forwarded any more.
    pub(super) forwards_nothing: bool,
}

/// A session channel that was opened on both sides before the relay began.
#[derive(Clone, Copy, Debug)]
pub struct ExistingChannel {
    /// The client's number for it.
    pub client_number: u32,
    /// Bytes that the client takes. The host has been told of [`first_grant`] of them.
    pub client_window: u32,
    /// The most data that the client takes in one message.
    pub client_max_packet: u32,
    /// The host's number for it.
    pub host_number: u32,
    /// Bytes that the host takes. The client has been told of [`first_grant`] of them.
    pub host_window: u32,
    /// The most data that the host takes in one message.
    pub host_max_packet: u32,
}

/// What one side is told of a window that the other one opens a channel with: a round number, and
/// not without bound.
#[must_use]
pub fn first_grant(window: u32) -> u32 {
    ChannelEnd::new(0, window, 0).window
}

impl Relay {
    /// A connection without channels.
    #[must_use]
    pub fn new(peers: Peers, permissions: Arc<Permissions>) -> Self {
        Self {
            peers,
            permissions,
            ..Self::default()
        }
    }

    /// Takes over a session channel that has number 0 on our side of both connections.
    pub fn adopt(&mut self, adopted: ExistingChannel) {
        let channel = Channel {
            client: ChannelEnd::new(
                adopted.client_number,
                adopted.client_window,
                adopted.client_max_packet,
            ),
            host: ChannelEnd::new(
                adopted.host_number,
                adopted.host_window,
                adopted.host_max_packet,
            ),
            phase: ChannelPhase::Setup(Setup::default()),
            destination: None,
        };
        self.channels.insert(0, channel);
    }

    /// Session channels, opening and closing ones included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        let is_session = |channel: &&Channel| {
            !matches!(
                channel.phase,
                ChannelPhase::Forwarded(_)
                    | ChannelPhase::Opening {
                        forwarded: true,
                        ..
                    }
            )
        };
        self.channels.values().filter(is_session).count()
    }

    /// How many channels there are, opening and closing ones included.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Takes one packet from one side. The tap has seen everything when this returns; `out` is what
    /// may be sent once the tap has it safely.
    ///
    /// # Errors
    /// When that side broke the protocol. The relay is then of no further use.
    pub fn on_packet(
        &mut self,
        from: Side,
        payload: &Bytes,
        tap: &mut impl Tap,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Violation> {
        if number::is_authentication(payload) {
            self.in_vain += 1;
            return self
                .check_refused()
                .map_err(|what| Violation { from, what });
        }
        let mut step = Step {
            relay: self,
            from,
            tap,
            out,
        };
        Message::parse(payload)
            .map_err(Breach::from)
            .and_then(|message| step.take(message))
            .and_then(|()| step.relay.check_refused())
            .map_err(|what| Violation { from, what })
    }

    /// Whether a forwarded channel was ever closed because SSH was spoken in it. ssh itself tells
    /// nobody why.
    #[must_use]
    pub fn has_closed_nested_ssh(&self) -> bool {
        self.closed_nested_ssh
    }

    /// What is refused is audited, and the audit log is nobody's to fill. What goes no further costs
    /// time.
    fn check_refused(&self) -> Result<(), Breach> {
        if self.refused > MAX_REFUSED || self.in_vain > MAX_REFUSED {
            return Err(Breach::TooMuchRefused);
        }
        Ok(())
    }

    /// Asks that side whether it is still there. Its answer goes no further, and takes its place among
    /// the answers to the other side's requests.
    pub fn ask(&mut self, to: Side, out: &mut Vec<Outgoing>) {
        // Where too many answers are owed already, one more question tells nothing new.
        if self.global_replies(to.other()).expect(PendingReply::Own) {
            out.push(Outgoing {
                to,
                message: keep_alive(),
            });
        }
    }

    /// Shows the tap what has crossed on channels on which no session has begun: it will not begin any more.
    pub fn abandon_all(&mut self, tap: &mut impl Tap) {
        for channel in self.channels.values_mut() {
            abandon(channel, tap);
        }
    }

    /// Ends all sessions from our side: the user reads `text` and gets exit status 255.
    pub fn end_all(&mut self, text: &str, out: &mut Vec<Outgoing>) {
        for channel in self.channels.values_mut() {
            end(channel, text, out);
        }
    }

    /// Whether all sessions have been granted room for a text of so many bytes.
    #[must_use]
    pub fn has_room_for(&self, length: usize) -> bool {
        self.channels.values().all(|channel| {
            let is_told = matches!(
                channel.phase,
                ChannelPhase::Setup(_) | ChannelPhase::Running(_)
            ) && !channel.client.told_close;
            !is_told || channel.client.takes() as usize >= length
        })
    }

    /// Ends one session from our side, as [`Relay::end_all`] does; the others go on. The tap hears no
    /// more of its channel.
    pub fn end_session(&mut self, key: ChannelKey, text: &str, out: &mut Vec<Outgoing>) {
        if let Some(channel) = self.channels.get_mut(&key.0) {
            end(channel, text, out);
        }
    }

    /// Replies owed to that side's global requests.
    pub(super) fn global_replies(&mut self, side: Side) -> &mut Replies {
        match side {
            Side::Client => &mut self.client_replies,
            Side::Host => &mut self.host_replies,
        }
    }

    /// A channel number that is not in use, or `None` when there are enough channels.
    pub(super) fn free_number(&self) -> Option<u32> {
        if self.channels.len() >= MAX_CHANNELS {
            return None;
        }
        (0..).find(|number| !self.channels.contains_key(number))
    }
}

/// No session begins on this channel any more. Whether none had, and what has crossed is shown.
pub(super) fn abandon(channel: &mut Channel, tap: &mut impl Tap) -> bool {
    let ChannelPhase::Setup(setup) = &mut channel.phase else {
        return false;
    };
    let setup = std::mem::take(setup);
    if !setup.is_empty() {
        tap.abandoned(&setup.into_start(Kind::Shell));
    }
    true
}

/// Says why, gives the exit status, closes both ends.
pub(super) fn end(channel: &mut Channel, text: &str, out: &mut Vec<Outgoing>) {
    let was_session = match std::mem::replace(&mut channel.phase, ChannelPhase::Ended) {
        opening @ ChannelPhase::Opening { .. } => {
            channel.phase = opening;
            return;
        }
        ChannelPhase::Ended => return,
        ChannelPhase::Forwarded(_) => false,
        ChannelPhase::Setup(_) | ChannelPhase::Running(_) => true,
    };
    let window = channel.client.takes();
    let ChannelEnd {
        number: recipient,
        max_packet,
        told_close,
        ..
    } = channel.client;
    if was_session && !told_close {
        let limit = window.min(max_packet) as usize;
        let data = Bytes::copy_from_slice(text.as_bytes().get(..limit).unwrap_or(text.as_bytes()));
        let stderr = Message::ExtendedData {
            recipient,
            code: STDERR,
            data,
        };
        let (mut ending, mut status) = (Ending::default(), Some(EXIT_REFUSED));
        let last = std::iter::from_fn(|| ending.next(recipient, status.take(), false));
        let to = Side::Client;
        out.extend(
            std::iter::once(stderr)
                .chain(last)
                .map(|message| Outgoing { to, message }),
        );
    }
    for side in [Side::Client, Side::Host] {
        tell_close(channel.end(side), side, out);
    }
}

pub(super) fn tell_close(end: &mut ChannelEnd, to: Side, out: &mut Vec<Outgoing>) {
    if !std::mem::replace(&mut end.told_close, true) {
        out.push(Outgoing {
            to,
            message: Message::Close {
                recipient: end.number,
            },
        });
    }
}
