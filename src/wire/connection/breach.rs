//! What breaks the connection protocol.

use thiserror::Error;

use super::fields::MalformedMessage;

/// How a peer can break the connection protocol.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Breach {
    /// A packet that is not a message.
    #[error("{0}")]
    Malformed(#[from] MalformedMessage),
    /// A channel number that does not exist, or not any more.
    #[error("a message for channel {0}, which does not exist")]
    NoChannel(u32),
    /// A message that the channel's state does not allow.
    #[error("{0} is out of order")]
    Order(&'static str),
    /// More data than the window or the packet size permits.
    #[error("data beyond the window")]
    Overrun,
    /// Grants that add up to more than 2^32 - 1.
    #[error("a window of more than 4 GiB")]
    Window,
    /// More listeners than one connection may have.
    #[error("too many listeners")]
    TooManyListeners,
    /// A reply without a request.
    #[error("a reply to no request")]
    Reply,
    /// More refusals than the limit, which protects the audit log.
    #[error("too much that is not permitted")]
    TooMuchRefused,
    /// More requests than may wait for replies.
    #[error("too many requests at once")]
    TooManyRequests,
    /// More packets than are kept for a relay.
    #[error("too much before the relay has begun")]
    TooMuchKept,
    /// Something that has no place on a connection that ends here.
    #[error("{0}")]
    Misplaced(&'static str),
}
