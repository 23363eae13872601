//! The witness of everything that crosses: called before the caller may send it on.

use bytes::Bytes;

use super::Side;
use super::content::Value;
use super::forward::Destination;

/// A channel of one relay: our own number for it, on both sides.
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

/// A message that crosses, by its name, with everything that crosses of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedMessage {
    /// Who sends it.
    pub from: Side,
    /// Its name.
    pub name: &'static str,
    /// What it says.
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
    /// What else has crossed on its channel before.
    pub asked: Vec<RelayedMessage>,
}

/// What happens on a running session beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// One side will send no more.
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
        /// The host's words.
        message: Bytes,
    },
}

/// What can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The opening of a channel.
    Channel,
    /// A request on a channel.
    ChannelRequest,
    /// Data of a type or at a time at which it has no place.
    Data,
    /// A request on the connection.
    GlobalRequest,
}

/// Something that the table does not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedMessage<'a> {
    /// Who asked.
    pub from: Side,
    /// What it was.
    pub what: What,
    /// Its name.
    pub name: &'a str,
    /// What exactly, as far as it matters: where a forward would lead or listen, which variable.
    pub detail: Option<&'a str>,
    /// On which channel.
    pub channel: Option<ChannelKey>,
    /// Clients send it by habit, and miss nothing by the refusal.
    pub by_habit: bool,
}

/// Sees everything, in order, before it is sent on.
pub trait Tap {
    /// A session is about to start. Until this returns `Ok`, the host is not told.
    ///
    /// # Errors
    /// The text for the user, who then gets exit status 255 instead of a session.
    fn start(&mut self, channel: ChannelKey, start: &Start) -> Result<(), String>;
    /// A forwarded channel is about to be opened. Until this returns `Ok`, the other side is not told.
    ///
    /// # Errors
    /// The text for whoever opens it.
    fn forward(&mut self, channel: ChannelKey, destination: &Destination) -> Result<(), String>;
    /// A request about listeners is about to be sent, or answered. Until this returns `Ok`, nobody is told.
    ///
    /// # Errors
    /// What is wrong, for whoever asks.
    fn global(&mut self, request: &RelayedMessage) -> Result<(), String>;
    /// A channel on which something was asked for ends, and no session has begun on it.
    fn abandoned(&mut self, asked: &Start);
    /// Bytes of a running session, or of a forwarded channel: [`Stream::Stdin`] is what the client
    /// sends, [`Stream::Stdout`] what the host sends.
    fn data(&mut self, channel: ChannelKey, stream: Stream, bytes: &[u8]);
    /// The terminal's new size in columns and rows.
    fn resize(&mut self, channel: ChannelKey, columns: u32, rows: u32);
    /// Something beside the bytes.
    fn note(&mut self, channel: ChannelKey, note: &Note);
    /// The host says how the session ended.
    fn exit(&mut self, channel: ChannelKey, exit: &Exit);
    /// The channel is gone; nothing more comes for this key until it starts anew.
    fn closed(&mut self, channel: ChannelKey);
    /// Something was refused.
    fn refused(&mut self, refused: RefusedMessage<'_>);
}
