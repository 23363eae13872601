//! What is served on a connection that ends here: the questions that the protocol's state machine
//! asks of its owner.

use bytes::Bytes;

use super::channels::{Channels, Role};
use super::kept::KeptPackets;
use super::session::PendingSession;
use crate::ssh::channel::{ChannelPort, ChannelStream, PeerEnd, Terms};
use crate::wire::connection::{Breach, Message, Name, OpenFailure};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It succeeds.
    Success,
    /// It fails.
    Failure,
    /// The relay that takes the connection over will answer it.
    Keep,
}

impl From<bool> for Answer {
    fn from(succeeds: bool) -> Self {
        match succeeds {
            true => Self::Success,
            false => Self::Failure,
        }
    }
}

/// What one connection serves.
pub(crate) trait Services {
    /// The peer opens a channel.
    ///
    /// # Errors
    /// The connection ends for it.
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach>;

    /// A request on a channel. `session` is the session, until a program was started on it; on a
    /// channel that is kept for a relay there is none.
    ///
    /// # Errors
    /// The connection ends for it.
    fn on_request(
        &mut self,
        session: &mut Option<PendingSession>,
        kind: &str,
        data: &Bytes,
    ) -> Result<Answer, Breach>;

    /// A request of the connection, such as for a listener (RFC 4254, 7.1).
    ///
    /// # Errors
    /// The connection ends for it.
    fn on_global_request(&mut self, name: &str, data: &Bytes) -> Result<Answer, Breach>;

    /// The peer has opened the channel that this side asked for under this number.
    fn on_opened(&mut self, number: u32, stream: ChannelStream);

    /// The peer has not, for this reason.
    fn on_not_opened(&mut self, number: u32, text: &Bytes);
}

/// Proof that the peer gets exactly one answer to the channel that it opens.
#[derive(Debug)]
#[must_use]
pub(crate) struct OpenAnswered(());

/// The peer opens a channel: to be answered once.
#[derive(Debug)]
pub(crate) struct OpenRequest<'a> {
    pub(super) channels: &'a mut Channels,
    pub(super) out: &'a mut Vec<Message>,
    pub(super) kept: &'a mut KeptPackets,
    pub(super) payload: &'a Bytes,
    pub(super) kind: Name,
    pub(super) peer: PeerEnd,
    pub(super) data: Bytes,
}

impl OpenRequest<'_> {
    /// The channel's type.
    pub(crate) fn kind(&self) -> &str {
        self.kind.as_str()
    }

    /// What belongs to the type.
    pub(crate) fn data(&self) -> &Bytes {
        &self.data
    }

    /// How many channels of the peer's there are.
    pub(crate) fn channels_of_peer(&self) -> usize {
        self.channels.count(false)
    }

    /// Opens it as a byte stream.
    pub(crate) fn accept(self, terms: Terms) -> (OpenAnswered, ChannelStream) {
        let (stream, port) = self.channels.pair();
        (self.confirm(terms, port, Role::Stream), stream)
    }

    /// Opens it as a session. Until a program is started the peer is granted the first window only.
    pub(crate) fn accept_session(self, terms: Terms) -> OpenAnswered {
        let (stream, port) = self.channels.pair();
        let session = PendingSession::new(stream);
        self.confirm(terms, port, Role::Session(Some(session)))
    }

    /// Opens it, and keeps what the peer says on it for a relay. The stream only takes what is said to
    /// the peer meanwhile.
    pub(crate) fn accept_kept(self, terms: Terms) -> (OpenAnswered, ChannelStream) {
        let (stream, port) = self.channels.pair();
        (self.confirm(terms, port, Role::Kept), stream)
    }

    fn confirm(self, terms: Terms, port: ChannelPort, role: Role) -> OpenAnswered {
        let number = self.channels.accept(port, self.peer, terms, role);
        self.out.push(Message::OpenConfirmation {
            recipient: self.peer.number,
            sender: number,
            window: terms.window,
            max_packet: terms.max_packet,
            data: Bytes::new(),
        });
        OpenAnswered(())
    }

    /// Does not open it.
    pub(crate) fn refuse(self, reason: OpenFailure, text: impl Into<Bytes>) -> OpenAnswered {
        self.out.push(Message::OpenFailure {
            recipient: self.peer.number,
            reason: reason as u32,
            text: text.into(),
            language: Bytes::new(),
        });
        OpenAnswered(())
    }

    /// Leaves the answer to the relay that takes the connection over.
    ///
    /// # Errors
    /// More waits for it than may.
    pub(crate) fn keep(self) -> Result<OpenAnswered, Breach> {
        match self.kept.keep(self.payload) {
            true => Ok(OpenAnswered(())),
            false => Err(Breach::TooMuchKept),
        }
    }
}
