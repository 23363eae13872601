//! The relay itself: takes one packet, returns the messages that result from it.

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
use super::window::Window;
use crate::access::Permissions;
use crate::wire::connection::{Breach, EXIT_REFUSED, Ending, Message, STDERR, keep_alive, number};

/// How many channels one connection may have; sshd's own limit is 10 sessions.
const MAX_CHANNELS: usize = 1_000;
/// How many refusals one connection may cause before it is ended.
const MAX_REFUSED: u32 = 10_000;

/// A message for one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: Side,
    /// The message.
    pub message: Message,
}

/// A peer broke the protocol: its connection ends.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the {from} broke the protocol: {what}")]
pub struct Violation {
    /// The side that broke it.
    pub from: Side,
    /// How it was broken.
    pub what: Breach,
}

/// The software of the two sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// The client is OpenSSH's.
    pub client_is_openssh: bool,
    /// The host is OpenSSH's.
    pub host_is_openssh: bool,
    /// The host supports the names of RFC 9987 for agent forwarding (`agent-forward` in its
    /// extensions).
    pub host_knows_agent_req: bool,
}

impl Peers {
    /// Whether `eow@openssh.com` may be sent to this side. Software other than OpenSSH may reply to
    /// it, although it requests no reply (OpenSSH's PROTOCOL, 2.1).
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
    /// The client has announced that it opens no more sessions.
    pub(super) last_session: bool,
    /// How many messages were refused.
    pub(super) refused: u32,
    /// The routine requests that were refused.
    pub(super) habits: Habits,
    /// How many messages had no effect: messages that are not passed on, channels without a
    /// session.
    pub(super) in_vain: u32,
    pub(super) peers: Peers,
    pub(super) permissions: Arc<Permissions>,
    /// The channels that the client has requested from the host.
    pub(super) expected: Expected,
    /// The client has requested agent forwarding by the name of RFC 9987, and expects the channels' type
    /// of RFC 9987.
    pub(super) agent_is_by_rfc: bool,
    /// A forwarded channel was closed because SSH was detected in it.
    pub(super) closed_nested_ssh: bool,
    /// No forwarding any more, whatever the permissions are.
    pub(super) forwards_nothing: bool,
    /// Something of the proxy's own was added to a session.
    pub(super) has_own_bytes: bool,
}

/// A session channel that was opened on both sides before the relay began.
#[derive(Clone, Copy, Debug)]
pub struct ExistingChannel {
    /// The client's channel number.
    pub client_number: u32,
    /// The client's window, in bytes. [`first_grant`] of it was passed on to the host.
    pub client_window: u32,
    /// The most data that the client accepts in one message.
    pub client_max_packet: u32,
    /// The host's channel number.
    pub host_number: u32,
    /// The host's window, in bytes. [`first_grant`] of it was passed on to the client.
    pub host_window: u32,
    /// The most data that the host accepts in one message.
    pub host_max_packet: u32,
}

/// How much of the window in a channel's opening is passed on to the other side: a round number
/// with an upper limit.
#[must_use]
pub fn first_grant(window: u32) -> u32 {
    Window::new(window).promised()
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

    /// Takes over a session channel whose number on our side of both connections is 0.
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

    /// The number of session channels, including opening and closing ones.
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

    /// The number of channels, including opening and closing ones.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Handles one packet from one side. The tap has seen everything when this returns; `out` gets
    /// the messages that may be sent once the tap has committed.
    ///
    /// # Errors
    /// When that side broke the protocol. The relay must not be used after that.
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

    /// Whether a forwarded channel was closed because of SSH inside it. ssh itself does not show a
    /// reason.
    #[must_use]
    pub fn has_closed_nested_ssh(&self) -> bool {
        self.closed_nested_ssh
    }

    /// Refusals are audited, so they must not fill the audit log. Messages without effect cost time.
    fn check_refused(&self) -> Result<(), Breach> {
        if self.refused > MAX_REFUSED || self.in_vain > MAX_REFUSED {
            return Err(Breach::TooMuchRefused);
        }
        Ok(())
    }

    /// Sends a keepalive to this side. Its reply is not passed on, and keeps its order among the
    /// replies to the other side's requests.
    pub fn ask(&mut self, to: Side, out: &mut Vec<Outgoing>) {
        // If too many replies are pending, another keepalive gives no new information.
        if self.global_replies(to.other()).expect(PendingReply::Own) {
            out.push(Outgoing {
                to,
                message: keep_alive(),
            });
        }
    }

    /// Shows the tap the requests on channels without a session, because no session will begin on them.
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

    /// Whether every session has enough window for a text of so many bytes.
    #[must_use]
    pub fn has_room_for(&self, length: usize) -> bool {
        self.channels.values().all(|channel| {
            let is_told = matches!(
                channel.phase,
                ChannelPhase::Setup(_) | ChannelPhase::Running(_)
            ) && !channel.client.told_close;
            !is_told || channel.client.window.granted() as usize >= length
        })
    }

    /// Ends one session from our side, as [`Relay::end_all`] does; the others continue. The tap gets
    /// no more events of its channel.
    pub fn end_session(&mut self, key: ChannelKey, text: &str, out: &mut Vec<Outgoing>) {
        if let Some(channel) = self.channels.get_mut(&key.0) {
            end(channel, text, out);
        }
    }

    /// The replies that this side waits for after its global requests.
    pub(super) fn global_replies(&mut self, side: Side) -> &mut Replies {
        match side {
            Side::Client => &mut self.client_replies,
            Side::Host => &mut self.host_replies,
        }
    }

    /// A free channel number, or `None` when there are too many channels.
    pub(super) fn free_number(&self) -> Option<u32> {
        if self.channels.len() >= MAX_CHANNELS {
            return None;
        }
        (0..).find(|number| !self.channels.contains_key(number))
    }
}

/// Marks that no session begins on this channel any more. Returns whether there was none, and the
/// tap has got its requests.
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

/// Sends the text and the exit status, and closes both ends.
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
    let window = channel.client.window.granted();
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
        channel.end(side).window.discard_all();
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
