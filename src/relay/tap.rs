//! The tap sees everything that is relayed, before the caller may send it on.

use bytes::Bytes;

use super::Side;
use super::content::Value;
use super::forward::Destination;
use crate::model::ParticipantId;

/// A channel of one relay: our own number for it, the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub u32);

/// What a session channel runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The login shell.
    Shell,
    /// A command.
    Exec(Bytes),
    /// A subsystem.
    Subsystem(Bytes),
}

/// The three byte streams of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// From the client.
    Stdin,
    /// From the host.
    Stdout,
    /// From the host, as extended data.
    Stderr,
}

/// A pseudo-terminal as the client asked for it (RFC 4254, 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pty {
    /// The value of `TERM`.
    pub term: Bytes,
    /// Columns, as sent.
    pub columns: u32,
    /// Rows, as sent.
    pub rows: u32,
}

/// A message that is passed on: its name, and all fields that are passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedMessage {
    /// The sender.
    pub from: Side,
    /// Its name.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<(&'static str, Value)>,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What runs.
    pub kind: Kind,
    /// The terminal, where the client asked for one.
    pub pty: Option<Pty>,
    /// The environment that the client asked for, in its order.
    pub environment: Vec<(Bytes, Bytes)>,
    /// Other requests that were passed on before on its channel.
    pub asked: Vec<RelayedMessage>,
}

/// An event of a running session, other than its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// One side sends no more.
    Eof(Side),
    /// A request or another message.
    Request(RelayedMessage),
    /// The host refused the request that should have started the session.
    StartRefused,
}

/// How a session ended (RFC 4254, 6.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(u32),
    /// By a signal.
    Signal {
        /// The name without `SIG`.
        name: Bytes,
        /// Whether a core was dumped.
        core_dumped: bool,
        /// The host's text.
        message: Bytes,
    },
}

/// A kind of refused message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The opening of a channel.
    Channel,
    /// A request on a channel.
    ChannelRequest,
    /// Data of a type, or at a time, that is not permitted.
    Data,
    /// A request on the connection.
    GlobalRequest,
}

/// A message that the table does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedMessage<'a> {
    /// The sender.
    pub from: Side,
    /// Its kind.
    pub what: What,
    /// Its name.
    pub name: &'a str,
    /// Details: where a forward would lead or listen, or which variable.
    pub detail: Option<&'a str>,
    /// Its channel.
    pub channel: Option<ChannelKey>,
    /// Clients send it routinely, and the refusal has no effect on them.
    pub by_habit: bool,
}

/// Sees everything that is relayed, in order, before it is sent on.
pub trait Tap {
    /// A session is about to start. The host gets the request only after this returns `Ok`.
    ///
    /// # Errors
    /// The text for the user, who then gets exit status 255 instead of a session.
    fn start(&mut self, channel: ChannelKey, start: &Start) -> Result<(), String>;
    /// A forwarded channel is about to be opened. The other side gets the request only after this
    /// returns `Ok`.
    ///
    /// # Errors
    /// The text for the side that opens it.
    fn forward(&mut self, channel: ChannelKey, destination: &Destination) -> Result<(), String>;
    /// A request about listeners, or its reply, is about to be sent. It is sent only after this returns
    /// `Ok`.
    ///
    /// # Errors
    /// The text for the side that sent the request.
    fn global(&mut self, request: &RelayedMessage) -> Result<(), String>;
    /// A channel that had requests and no session has ended.
    fn abandoned(&mut self, asked: &Start);
    /// Bytes of a running session, or of a forwarded channel: [`Stream::Stdin`] is what the client
    /// sends, [`Stream::Stdout`] what the host sends.
    fn data(&mut self, channel: ChannelKey, stream: Stream, bytes: &[u8]);
    /// Bytes that a participant has typed into a running session, and that go to the host after what
    /// the tap has seen so far, as the client's own do.
    fn injected(&mut self, channel: ChannelKey, participant: ParticipantId, bytes: &[u8]);
    /// A notice of the proxy's own that the client of a running session reads.
    fn notified(&mut self, channel: ChannelKey, text: &str);
    /// The terminal's new size in columns and rows.
    fn resize(&mut self, channel: ChannelKey, columns: u32, rows: u32);
    /// A message of a session, other than its bytes.
    fn note(&mut self, channel: ChannelKey, note: &Note);
    /// The host reports how the session ended.
    fn exit(&mut self, channel: ChannelKey, exit: &Exit);
    /// The channel is closed; no more events follow for this key until it is used again.
    fn closed(&mut self, channel: ChannelKey);
    /// Something was refused.
    fn refused(&mut self, refused: RefusedMessage<'_>);
}
