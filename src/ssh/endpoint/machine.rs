//! The state machine: packets in, messages out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::channels::{Channels, Role};
use super::kept::{KeepLimits, KeptPackets};
use super::services::{Answer, OpenRequest, Services};
use super::session::PendingSession;
use crate::ssh::channel::{PeerEnd, Terms};
use crate::wire::connection::{Breach, Message, Name, keep_alive, number};

/// Where the messages of an endpoint go.
pub(crate) trait Outlet {
    /// Why a message cannot go there.
    type Error;

    /// Whether channels may say more for now. Answers are sent in any case: what the peer may ask
    /// without reading them is bounded by what is read from it.
    fn has_room(&mut self) -> bool;

    /// Sends a message.
    ///
    /// # Errors
    /// The connection is over.
    fn send(&mut self, message: &Message) -> Result<(), Self::Error>;
}

/// How much the channels of one connection may hold, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelRoom {
    /// The most that a peer may send on a channel before it is read.
    pub(crate) window: u32,
    /// The most output that may wait on a channel.
    pub(crate) output: usize,
}

impl ChannelRoom {
    /// As much as each channel has by itself.
    pub(crate) const USUAL: Self = Self {
        window: u32::MAX,
        output: usize::MAX,
    };
}

/// What sending has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pumped {
    /// The memory that waits in the buffers of all channels, in bytes.
    pub(crate) held: usize,
    /// How many channels are over.
    pub(crate) closed: usize,
}

/// What a relay needs to go on with a channel.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The peer's end of the channel, after everything that was said to it.
    pub(crate) peer: PeerEnd,
    /// Packets that the relay has to answer.
    pub(crate) packets: VecDeque<Bytes>,
}

/// The connection protocol as one side of a connection speaks it that ends here.
#[derive(Debug)]
pub(crate) struct Endpoint {
    channels: Channels,
    /// Answers, in the order of what was asked, and what this side asks.
    out: Vec<Message>,
    kept: KeptPackets,
    /// Answers that the peer owes to requests of the connection.
    owed: u32,
}

impl Endpoint {
    /// A connection without channels. Streams of channels wake their driver through `wake`.
    pub(crate) fn new(wake: Arc<Notify>, limits: KeepLimits) -> Self {
        Self {
            channels: Channels::new(wake),
            out: Vec::new(),
            kept: KeptPackets::new(limits),
            owed: 0,
        }
    }

    /// Takes one packet of the peer's.
    ///
    /// # Errors
    /// The peer broke the protocol. The endpoint is then of no further use.
    pub(crate) fn on_packet(
        &mut self,
        payload: &Bytes,
        services: &mut impl Services,
    ) -> Result<(), Breach> {
        if number::is_authentication(payload) {
            return Ok(());
        }
        match Message::parse(payload)? {
            Message::GlobalRequest {
                name,
                want_reply,
                data,
            } => match services.on_global_request(name.as_str(), &data)? {
                Answer::Keep => self.keep(payload),
                answer => {
                    self.answer_global(want_reply, answer);
                    Ok(())
                }
            },
            Message::RequestSuccess { .. } | Message::RequestFailure => {
                self.owed = self.owed.checked_sub(1).ok_or(Breach::Reply)?;
                Ok(())
            }
            Message::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } => {
                let request = OpenRequest {
                    channels: &mut self.channels,
                    out: &mut self.out,
                    kept: &mut self.kept,
                    payload,
                    kind,
                    peer: peer_end(sender, window, max_packet),
                    data,
                };
                let _answered = services.open(request)?;
                Ok(())
            }
            Message::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                ..
            } => {
                let peer = peer_end(sender, window, max_packet);
                let stream = self.channels.confirm(recipient, peer)?;
                services.on_opened(recipient, stream);
                Ok(())
            }
            Message::OpenFailure {
                recipient, text, ..
            } => {
                self.channels.refuse(recipient)?;
                services.on_not_opened(recipient, &text);
                Ok(())
            }
            message => self.on_channel(message, payload, services),
        }
    }

    /// Takes a message on a channel.
    fn on_channel(
        &mut self,
        message: Message,
        payload: &Bytes,
        services: &mut impl Services,
    ) -> Result<(), Breach> {
        let number = message.channel().ok_or(Breach::Reply)?;
        let channel = match (self.channels.hearing(number), &message) {
            // No request of this side wants a reply.
            (Err(_), Message::Success { .. } | Message::Failure { .. }) => {
                return Err(Breach::Reply);
            }
            (channel, _) => channel?,
        };
        if let Message::Request {
            kind,
            want_reply,
            data,
            ..
        } = &message
        {
            let answer = match &mut channel.role {
                Role::Session(session) => services.on_request(session, kind.as_str(), data)?,
                Role::Kept => services.on_request(&mut None, kind.as_str(), data)?,
                Role::Released => Answer::Success,
                Role::Stream => {
                    return Err(Breach::Misplaced("a request on a channel that takes none"));
                }
            };
            return match answer {
                Answer::Keep => self.keep(payload),
                answer => {
                    self.answer(number, *want_reply, answer);
                    Ok(())
                }
            };
        }
        if matches!(channel.role, Role::Kept) {
            return self.keep(payload);
        }
        match message {
            Message::WindowAdjust { bytes, .. } if !channel.port.grant(bytes) => {
                Err(Breach::Window)
            }
            Message::Data { data, .. } if !channel.port.deliver(&data) => Err(Breach::Overrun),
            Message::WindowAdjust { .. } | Message::Data { .. } => Ok(()),
            Message::Eof { .. } => {
                channel.port.deliver_eof();
                Ok(())
            }
            Message::Close { .. } => {
                channel.port.deliver_close();
                Ok(())
            }
            // ssh sends none, and nothing here would read it.
            Message::ExtendedData { .. } => Err(Breach::Misplaced("extended data")),
            _ => Err(Breach::Reply),
        }
    }

    fn keep(&mut self, payload: &Bytes) -> Result<(), Breach> {
        match self.kept.keep(payload) {
            true => Ok(()),
            false => Err(Breach::TooMuchKept),
        }
    }

    /// Answers a request on a channel. Nothing follows this side's CLOSE.
    fn answer(&mut self, number: u32, want_reply: bool, answer: Answer) {
        let Some(channel) = self.channels.find(number) else {
            return;
        };
        if !want_reply || !channel.port.speaks() {
            return;
        }
        let recipient = channel.port.peer().number;
        self.out.push(match answer {
            Answer::Success => Message::Success { recipient },
            Answer::Failure | Answer::Keep => Message::Failure { recipient },
        });
    }

    fn answer_global(&mut self, want_reply: bool, answer: Answer) {
        if want_reply {
            self.out.push(match answer {
                Answer::Success => Message::RequestSuccess { data: Bytes::new() },
                Answer::Failure | Answer::Keep => Message::RequestFailure,
            });
        }
    }

    /// Asks the peer for a channel, under a number that is free.
    pub(crate) fn open(&mut self, number: u32, kind: &'static str, terms: Terms) {
        self.open_with(number, kind, Bytes::new(), terms);
    }

    /// The same for a channel of a type that has data of its own.
    pub(crate) fn open_with(&mut self, number: u32, kind: &'static str, data: Bytes, terms: Terms) {
        self.open_as(number, kind, data, terms, Role::Stream);
    }

    /// The same for a channel that a relay will take over: what the peer says on it is kept.
    pub(crate) fn open_kept(&mut self, number: u32, kind: &'static str, terms: Terms) {
        self.open_as(number, kind, Bytes::new(), terms, Role::Kept);
    }

    fn open_as(&mut self, number: u32, kind: &'static str, data: Bytes, terms: Terms, role: Role) {
        self.channels.open(number, terms, role);
        self.out.push(Message::Open {
            kind: Name::from_static(kind),
            sender: number,
            window: terms.window,
            max_packet: terms.max_packet,
            data,
        });
    }

    /// The smallest channel number that is free.
    pub(crate) fn free_number(&self) -> u32 {
        self.channels.free_number()
    }

    /// How many channels this side has opened.
    pub(crate) fn channels_of_ours(&self) -> usize {
        self.channels.count(true)
    }

    /// Whether there is a channel with this number, opening and closing ones included.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.channels.contains(number)
    }

    /// Whether there is no channel.
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Whether nothing but the peer keeps the connection: there are channels, and this side's users are done with
    /// all of them. A peer can take for ever to read what was said last, and to close them.
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.channels.are_finished()
    }

    /// The peer's end of an open channel.
    pub(crate) fn peer(&mut self, number: u32) -> Option<PeerEnd> {
        Some(self.channels.find(number)?.port.peer())
    }

    /// Asks the peer whether it is still there.
    pub(crate) fn ask(&mut self) {
        self.owed += 1;
        self.out.push(keep_alive());
    }

    /// Takes the sessions on which no program was started: none will be.
    pub(crate) fn take_pending_sessions(&mut self) -> Vec<PendingSession> {
        let take = |role: &mut Role| match role {
            Role::Session(session) => session.take(),
            Role::Stream | Role::Kept | Role::Released => None,
        };
        let opened = self.channels.opened();
        opened
            .filter_map(|(_, channel)| take(&mut channel.role))
            .collect()
    }

    /// Sends the answers that are due.
    ///
    /// # Errors
    /// Those of the outlet.
    pub(crate) fn send_answers<O: Outlet>(&mut self, outlet: &mut O) -> Result<(), O::Error> {
        for message in self.out.drain(..) {
            outlet.send(&message)?;
        }
        Ok(())
    }

    /// Sends what is due, and what the channels have to say as far as the peer takes it and the outlet
    /// has room.
    ///
    /// # Errors
    /// Those of the outlet.
    pub(crate) fn pump<O: Outlet>(
        &mut self,
        outlet: &mut O,
        room: ChannelRoom,
    ) -> Result<Pumped, O::Error> {
        self.send_answers(outlet)?;
        let (mut held, mut has_closed) = (0, false);
        for (_, channel) in self.channels.opened() {
            let window = match channel.role {
                Role::Session(Some(_)) => channel.port.first_window().min(room.window),
                _ => room.window,
            };
            while outlet.has_room() {
                let Some(message) = channel.port.next_message(window) else {
                    break;
                };
                outlet.send(&message)?;
            }
            held += channel.port.held(room.output);
            has_closed |= channel.port.is_over();
        }
        let closed = match has_closed {
            true => self.channels.free_closed(),
            false => 0,
        };
        Ok(Pumped { held, closed })
    }

    /// The connection is gone: its channels end.
    pub(crate) fn hang_up(&mut self) {
        for (_, channel) in self.channels.opened() {
            channel.port.hang_up();
        }
    }

    /// No relay takes the channel over that was kept for one. What the peer has asked for on it since
    /// is answered with yes, and what it has granted and ended counts; the rest was for the host.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub(crate) fn release(
        &mut self,
        number: u32,
        services: &mut impl Services,
    ) -> Result<(), Breach> {
        let Some(channel) = self.channels.find(number) else {
            return Ok(());
        };
        channel.role = Role::Released;
        for payload in self.kept.take() {
            let message = Message::parse(&payload)?;
            let counts = matches!(
                message,
                Message::Request { .. }
                    | Message::WindowAdjust { .. }
                    | Message::Eof { .. }
                    | Message::Close { .. }
            );
            if counts && message.channel() == Some(number) {
                self.on_channel(message, &payload, services)?;
            }
        }
        Ok(())
    }

    /// Turns a channel that was kept into what a relay goes on with. `None` when it is not open any
    /// more, or not kept.
    pub(crate) fn into_relay(mut self, number: u32) -> Option<Takeover> {
        let channel = self.channels.remove(number)?;
        matches!(channel.role, Role::Kept).then(|| Takeover {
            peer: channel.port.peer(),
            packets: self.kept.take(),
        })
    }
}

fn peer_end(number: u32, window: u32, max_packet: u32) -> PeerEnd {
    PeerEnd {
        number,
        window,
        max_packet,
    }
}
