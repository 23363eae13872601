//! Replies of an agent: read with bounds, then held against the question.

use ssh_encoding::Decode as _;
use thiserror::Error;

/// Longest reply, in bytes without the length (OpenSSH's `MAX_AGENT_REPLY_LEN`).
pub const MAX_REPLY: usize = 256 * 1024;

/// Most identities in one reply (OpenSSH's `MAX_AGENT_IDENTITIES`).
pub const MAX_IDENTITIES: u32 = 2048;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION_FAILURE: u8 = 28;
const EXTENSION_RESPONSE: u8 = 29;
/// Failures of ssh.com's and of old agents, which OpenSSH reads too.
const OTHER_FAILURES: [u8; 2] = [30, 102];

/// What is wrong with an agent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AgentError {
    /// A reply longer than [`MAX_REPLY`], or more replies than requests.
    #[error("the agent's reply is too long")]
    TooLong,
    /// More identities than [`MAX_IDENTITIES`].
    #[error("the agent lists {0} identities, at most {MAX_IDENTITIES} are read")]
    TooManyIdentities(u32),
    /// A reply that does not parse.
    #[error("the agent's reply is malformed")]
    Malformed,
    /// A reply of a type that no request here leads to.
    #[error("the agent's reply has the unknown type {0}")]
    UnknownType(u8),
    /// The agent refuses: it does not hold the key, is locked, or its user declined.
    #[error("the agent refused")]
    Refused,
    /// A reply to another question.
    #[error("the agent's reply does not answer the request")]
    WrongReply,
}

/// A key or certificate in an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The encoded key, not yet decoded.
    pub blob: Vec<u8>,
    /// What its owner calls it; what is not UTF-8 is replaced. Escape it before showing it.
    pub comment: String,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentReply {
    /// The identities that the agent holds.
    Identities(Vec<AgentIdentity>),
    /// A signature blob, not yet decoded.
    Signature(Vec<u8>),
    /// Done.
    Success,
    /// Not done.
    Failure,
    /// An extension is known but failed.
    ExtensionFailure,
    /// What an extension answers beyond success.
    Extension(Vec<u8>),
}

impl AgentReply {
    /// Reads one message, without its length.
    ///
    /// # Errors
    /// Anything but one of the replies above, whole and with nothing after it. What an extension
    /// answers is not looked into.
    pub fn parse(message: &[u8]) -> Result<Self, AgentError> {
        let (&kind, body) = message.split_first().ok_or(AgentError::Malformed)?;
        let rest = &mut &*body;
        let reply = match kind {
            IDENTITIES_ANSWER => Self::Identities(read_identities(rest)?),
            SIGN_RESPONSE => Self::Signature(read_string(rest)?),
            // The answer to `query` was a success with contents before RFC 9987.
            SUCCESS if !body.is_empty() => return Ok(Self::Extension(body.to_vec())),
            SUCCESS => Self::Success,
            EXTENSION_RESPONSE => return Ok(Self::Extension(body.to_vec())),
            FAILURE => Self::Failure,
            EXTENSION_FAILURE => Self::ExtensionFailure,
            other if OTHER_FAILURES.contains(&other) => Self::Failure,
            unknown => return Err(AgentError::UnknownType(unknown)),
        };
        if rest.is_empty() {
            Ok(reply)
        } else {
            Err(AgentError::Malformed)
        }
    }
}

impl AgentReply {
    /// Whether this reply to [`query`](super::query) names an extension. Agents put the names into
    /// one list or several, behind their number or the name of the question: each is a string that
    /// is there or not.
    #[must_use]
    pub fn announces(&self, extension: &str) -> bool {
        let mut name = Vec::new();
        super::request::put_string(&mut name, extension.as_bytes());
        match self {
            Self::Extension(body) => body.windows(name.len()).any(|part| part == name),
            _ => false,
        }
    }
}

/// The reply to [`request_identities`](super::request_identities).
///
/// # Errors
/// A refusal, or a reply to another question.
pub fn expect_identities(reply: AgentReply) -> Result<Vec<AgentIdentity>, AgentError> {
    match reply {
        AgentReply::Identities(identities) => Ok(identities),
        other => Err(refusal(&other)),
    }
}

/// The reply to [`sign_request`](super::sign_request): a signature blob that is still to be verified.
///
/// # Errors
/// A refusal, or a reply to another question.
pub fn expect_signature(reply: AgentReply) -> Result<Vec<u8>, AgentError> {
    match reply {
        AgentReply::Signature(blob) => Ok(blob),
        other => Err(refusal(&other)),
    }
}

/// The reply to [`session_bind`](super::session_bind). Agents that do not know it refuse.
///
/// # Errors
/// A refusal, or a reply to another question.
pub fn expect_success(reply: AgentReply) -> Result<(), AgentError> {
    match reply {
        AgentReply::Success => Ok(()),
        other => Err(refusal(&other)),
    }
}

fn refusal(reply: &AgentReply) -> AgentError {
    match reply {
        AgentReply::Failure | AgentReply::ExtensionFailure => AgentError::Refused,
        AgentReply::Identities(_)
        | AgentReply::Signature(_)
        | AgentReply::Success
        | AgentReply::Extension(_) => AgentError::WrongReply,
    }
}

/// Cuts the byte stream of an agent into replies.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    buffer: Vec<u8>,
}

impl ReplyDecoder {
    /// Takes bytes as they come. Call [`ReplyDecoder::next_reply`] until it gives `None` after each.
    ///
    /// # Errors
    /// More bytes than one longest reply are waiting, and `bytes` would be added to them: there are
    /// more replies than requests.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        if self.buffer.len() > LENGTH + MAX_REPLY {
            return Err(AgentError::TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole reply, `None` if it is still on its way.
    ///
    /// # Errors
    /// The agent is not to be talked to any longer: an impossible length (found as soon as the length
    /// is here), or a reply that does not parse.
    pub fn next_reply(&mut self) -> Result<Option<AgentReply>, AgentError> {
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_REPLY {
            return Err(AgentError::TooLong);
        }
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        let reply = AgentReply::parse(message)?;
        self.buffer.drain(..LENGTH + length);
        Ok(Some(reply))
    }
}

/// Bytes of a reply's length.
const LENGTH: usize = 4;

fn read_identities(rest: &mut &[u8]) -> Result<Vec<AgentIdentity>, AgentError> {
    let count = u32::decode(rest).ok().ok_or(AgentError::Malformed)?;
    if count > MAX_IDENTITIES {
        return Err(AgentError::TooManyIdentities(count));
    }
    // Nothing is reserved by the count: it is the agent's word, the bytes are what is there.
    let mut identities = Vec::new();
    for _ in 0..count {
        identities.push(AgentIdentity {
            blob: read_string(rest)?,
            comment: String::from_utf8_lossy(&read_string(rest)?).into_owned(),
        });
    }
    Ok(identities)
}

pub(super) fn read_string(rest: &mut &[u8]) -> Result<Vec<u8>, AgentError> {
    Vec::decode(rest).ok().ok_or(AgentError::Malformed)
}
