//! User authentication with public keys (RFC 4252, RFC 8332), both roles, sans-I/O.
//!
//! Upper-layer packets in, packets out. [`ServerAuth`] verifies every signature itself, and its
//! caller decides whether the key is accepted; [`ClientAuth`] offers exactly one key and takes one
//! signature from outside. Both support OpenSSH's host-bound variant (PROTOCOL section 3.1,
//! `publickey-hostbound-v00@openssh.com`). No passwords, no SHA-1.
//!
//! Keyboard-interactive (RFC 4256) is used if the caller enables it: the server asks its caller's
//! questions, and the caller judges the answers; the client passes on the questions of a server that
//! has accepted the key and requires more. A server may ask before or after a key has proved itself, and
//! never takes answers in place of a key.

use crate::model::text::Printable;

mod algorithm;
mod client;
mod foreign;
mod interactive;
mod message;
mod methods;
mod server;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use algorithm::{SIGNATURE_ALGORITHMS, certificate_algorithms};
pub use client::{ClientAuth, ClientAuthEvent};
pub use foreign::ForeignText;
pub use interactive::{Answers, Challenge, MAX_ANSWER, MAX_PROMPTS, Prompt};
pub use methods::Methods;
pub use server::{AuthLimits, Offer, ServerAuth, ServerAuthEvent};

use super::DisconnectReason;
use crate::cert::{KeyError, SignatureError};

/// Longest name of a peer that a message repeats, in bytes.
const MAX_SHOWN: usize = 128;

/// Why the authentication, and the connection with it, ends.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// A message that does not parse, or carries bytes after its end.
    #[error("an authentication message is malformed")]
    Malformed,
    /// A message that has no place here and now, by its number.
    #[error("message {0} is not allowed during user authentication")]
    Unexpected(u8),
    /// A service other than `ssh-userauth` or `ssh-connection`.
    #[error("the service \"{}\" is not offered", Printable(.0).within(MAX_SHOWN))]
    UnknownService(String),
    /// The user name changed between requests, which sshd refuses too.
    #[error("the user name may not change during authentication")]
    UserChanged,
    /// More failed requests than [`AuthLimits`] allows.
    #[error("too many authentication failures")]
    TooManyAttempts,
    /// A packet was handed in while an offer waits for its answer: the caller's mistake.
    #[error("an offer was not answered before the next packet")]
    Unanswered,
    /// A packet was handed in after the end: the caller's mistake.
    #[error("the authentication is over")]
    Finished,
    /// The server reports success without having seen a signature ("trivial" authentication): what
    /// followed could ask for anything in the name of a login that never happened.
    #[error("the server reported success before a signature was sent")]
    TrivialSuccess,
    /// The server wants a signature with another key or algorithm than the offered one, or asks
    /// for a password or an answer (all have message number 60).
    #[error("the server answered the offered key with a different request")]
    DifferentRequest,
    /// More questions at a time than [`MAX_PROMPTS`].
    #[error("more than {MAX_PROMPTS} questions were asked at a time")]
    TooManyQuestions,
    /// More rounds of questions than the limit.
    #[error("questions are asked without end")]
    EndlessQuestions,
    /// An answer longer than [`MAX_ANSWER`].
    #[error("an answer is longer than {MAX_ANSWER} bytes")]
    AnswerTooLong,
    /// More banners than the limit.
    #[error("the server sends banners without end")]
    BannerFlood,
    /// The key to present does not decode.
    #[error("the key to present cannot be used")]
    Key(#[source] KeyError),
    /// The signature to send does not parse or is not of the algorithm that was offered.
    #[error("the signer returned something other than a signature with {0}")]
    WrongSignatureFormat(String),
    /// The signature to send does not verify with the offered key.
    #[error("the signer returned a signature that does not verify")]
    WrongSignature(#[source] SignatureError),
}

impl AuthError {
    /// Whether the peer broke the protocol. It did not where it was merely refused too often.
    #[must_use]
    pub const fn is_breach(&self) -> bool {
        !matches!(self, Self::TooManyAttempts)
    }

    /// The reason code for the peer.
    #[must_use]
    pub const fn disconnect_reason(&self) -> DisconnectReason {
        match self {
            Self::TooManyAttempts => DisconnectReason::NoMoreAuthMethodsAvailable,
            Self::UnknownService(_) => DisconnectReason::ServiceNotAvailable,
            _ => DisconnectReason::ProtocolError,
        }
    }
}
