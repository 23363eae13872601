//! Errors on the wire, by the side that is to blame.

use std::fmt;

use super::legacy::Legacy;
use crate::cert::MIN_RSA_BITS;

/// Why a connection cannot go on. After any of these the [`Transport`](super::Transport) takes no
/// more input; [`disconnect`](super::Transport::disconnect) with
/// [`disconnect_reason`](Error::disconnect_reason) still tells the peer why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer, or a machine in the middle, broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
    /// Both sides are right and have nothing in common.
    #[error("nothing in common with the peer: {0}")]
    Mismatch(Mismatch),
    /// The caller did what it must not.
    #[error("wire used wrongly: {0}")]
    Misuse(Misuse),
    /// The cryptographic library or the system's entropy failed us.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}

/// How the peer broke the protocol.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Violation {
    /// No identification line where one must be (RFC 4253 section 4.2).
    #[error("no SSH identification: {0}")]
    Identification(&'static str),
    /// A packet's length field is out of bounds or not a multiple of the block size.
    #[error("bad packet length {0}")]
    PacketLength(u32),
    /// A packet's padding is too short or longer than the packet.
    #[error("bad padding length {0}")]
    Padding(u8),
    /// The message authentication code does not fit: corrupted or forged.
    #[error("message authentication code incorrect")]
    Mac,
    /// A message that cannot be parsed.
    #[error("malformed message {message}: {what}")]
    Malformed {
        /// The message's number.
        message: u8,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A message at a moment when it must not be sent.
    #[error("message {message} not expected {when}")]
    Unexpected {
        /// The message's number.
        message: u8,
        /// The moment.
        when: &'static str,
    },
    /// A public value of the key exchange that is not one.
    #[error("key exchange: {0}")]
    KeyExchange(&'static str),
    /// The host's key or its signature over the exchange hash.
    #[error("host key: {0}")]
    HostKey(&'static str),
    /// The peer kept its keys in use beyond what is safe.
    #[error("the peer never changed its keys")]
    KeyOveruse,
    /// Compressed data that cannot be read, or that would grow beyond a packet.
    #[error("compression: {0}")]
    Compression(&'static str),
    /// More messages that ask for a reply than the peer has taken replies.
    #[error("flooded with messages that need replies")]
    Flood,
    /// New keys, more often than the traffic and the time since the last ones have it.
    #[error("asked for new keys again and again")]
    Rekeys,
    /// More bytes or packets than a login takes.
    #[error("sent too much before authentication")]
    Unauthenticated,
}

/// What the two sides do not have in common.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// The peer speaks another protocol version.
    #[error("protocol version not supported: {0}")]
    Version(String),
    /// The host's RSA key is too short: its bits.
    #[error(
        "the host's RSA key has {0} bits, at least {min} are required",
        min = MIN_RSA_BITS
    )]
    ShortHostKey(usize),
    /// No common algorithm, in one list or several.
    #[error("{}", .0.iter().map(NoCommonAlgorithm::to_string).collect::<Vec<_>>().join("; "))]
    Algorithms(Vec<NoCommonAlgorithm>),
}

/// A list of algorithms in which two sides have nothing in common.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no common {kind}, the peer offers {offered}")]
pub struct NoCommonAlgorithm {
    /// Which list: "key exchange", "host key", ...
    pub kind: &'static str,
    /// The peer's list, cut to a readable length.
    pub offered: String,
    /// What of the peer's list we would know, were it asked for.
    pub legacy: Vec<Legacy>,
}

impl NoCommonAlgorithm {
    /// The list of host key algorithms.
    pub const HOST_KEY: &str = "host key";
}

/// How the caller went wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misuse {
    /// A payload that is empty, too long, or whose message number is the transport's own.
    #[error("not a payload to send")]
    Payload,
    /// More was sent during a key exchange than may be held back.
    #[error("too much sent during a key exchange")]
    HeldBack,
    /// A call that does not fit the state, such as accepting a host key before the host has presented one.
    #[error("not possible now: {0}")]
    State(&'static str),
    /// A host key that cannot serve: encrypted, of an unsupported kind, or not its certificate's.
    #[error("host key cannot be used: {0}")]
    HostKey(&'static str),
}

impl Error {
    /// The reason code for the peer.
    #[must_use]
    pub fn disconnect_reason(&self) -> DisconnectReason {
        match self {
            Self::Violation(Violation::Mac) => DisconnectReason::MacError,
            Self::Violation(Violation::Compression(_)) => DisconnectReason::CompressionError,
            Self::Violation(Violation::HostKey(_)) | Self::Mismatch(Mismatch::ShortHostKey(_)) => {
                DisconnectReason::HostKeyNotVerifiable
            }
            Self::Violation(Violation::KeyExchange(_))
            | Self::Mismatch(Mismatch::Algorithms(_)) => DisconnectReason::KeyExchangeFailed,
            Self::Mismatch(Mismatch::Version(_)) => DisconnectReason::ProtocolVersionNotSupported,
            Self::Violation(_) => DisconnectReason::ProtocolError,
            Self::Misuse(_) | Self::Crypto(_) => DisconnectReason::ByApplication,
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

/// Reason codes of `SSH_MSG_DISCONNECT` (RFC 4253 section 11.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum DisconnectReason {
    /// The host may not connect.
    HostNotAllowedToConnect = 1,
    /// The peer broke the protocol.
    ProtocolError = 2,
    /// No keys could be agreed upon.
    KeyExchangeFailed = 3,
    /// A message was corrupted or forged.
    MacError = 5,
    /// Compressed data could not be read.
    CompressionError = 6,
    /// The service asked for does not exist.
    ServiceNotAvailable = 7,
    /// The peer speaks another version.
    ProtocolVersionNotSupported = 8,
    /// The host's key could not be verified.
    HostKeyNotVerifiable = 9,
    /// The connection broke.
    ConnectionLost = 10,
    /// The application ends it.
    ByApplication = 11,
    /// Too many connections.
    TooManyConnections = 12,
    /// The user cancelled.
    AuthCancelledByUser = 13,
    /// Nothing is left to authenticate with.
    NoMoreAuthMethodsAvailable = 14,
    /// No such user.
    IllegalUserName = 15,
}

impl DisconnectReason {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNotAllowedToConnect => "host not allowed to connect",
            Self::ProtocolError => "protocol error",
            Self::KeyExchangeFailed => "key exchange failed",
            Self::MacError => "MAC error",
            Self::CompressionError => "compression error",
            Self::ServiceNotAvailable => "service not available",
            Self::ProtocolVersionNotSupported => "protocol version not supported",
            Self::HostKeyNotVerifiable => "host key not verifiable",
            Self::ConnectionLost => "connection lost",
            Self::ByApplication => "disconnected by application",
            Self::TooManyConnections => "too many connections",
            Self::AuthCancelledByUser => "authentication cancelled by user",
            Self::NoMoreAuthMethodsAvailable => "no more authentication methods available",
            Self::IllegalUserName => "illegal user name",
        })
    }
}
