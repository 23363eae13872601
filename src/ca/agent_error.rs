//! Errors of an agent that holds a CA's key, each with a hint.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use ssh_key::Fingerprint;
use thiserror::Error;

use super::agent_key_config::AgentSocket;
use crate::agent::{self, AgentIdentity};
use crate::cert::{PresentedKey, RequestError, SignatureError};
use crate::model::text::Printable;

/// Most keys of an agent that an error lists.
const MAX_LISTED: usize = 8;
/// Longest comment of a key that is repeated, in characters.
const MAX_COMMENT: usize = 64;

/// Which agent, and what it did.
#[derive(Debug)]
pub struct AgentKeyError {
    agent: AgentSocket,
    fault: Box<AgentFault>,
}

impl AgentKeyError {
    pub(super) fn new(agent: AgentSocket, fault: AgentFault) -> Self {
        Self {
            agent,
            fault: Box::new(fault),
        }
    }

    /// What it did.
    #[must_use]
    pub fn fault(&self) -> &AgentFault {
        &self.fault
    }
}

impl fmt::Display for AgentKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent at {} {}", self.agent, self.fault)
    }
}

impl Error for AgentKeyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// Why an agent's key did not sign. Each reads on after "the agent at SOCKET".
#[derive(Debug, Error)]
pub enum AgentFault {
    /// The agent is whatever the environment names, and it names none.
    #[error("is not there: the variable is not set")]
    NoEnvironment,
    /// The socket cannot be connected to.
    #[error("cannot be connected to")]
    Connect(#[source] io::Error),
    /// It takes too long, or does not even accept the connection.
    #[error("did not answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The connection broke.
    #[error("broke the connection")]
    Io(#[source] io::Error),
    /// It closed the connection without an answer.
    #[error("closed the connection without an answer")]
    HungUp,
    /// An answer that is not of the protocol.
    #[error("gives an answer that makes no sense")]
    Nonsense(#[from] agent::AgentError),
    /// It lists nothing at all.
    #[error("holds no keys, or is locked")]
    Empty,
    /// It lists other keys.
    #[error("does not hold the key {key}; it has {held}")]
    NotHeld {
        /// The key that was looked for.
        key: Fingerprint,
        /// What it has.
        held: ListedKeys,
    },
    /// It has the key, and the key cannot be a CA's.
    #[error("has a key that cannot be a CA's")]
    Key(#[from] RequestError),
    /// It holds the key, and refuses.
    #[error("refused to sign with the key {0}")]
    Refused(Fingerprint),
    /// A key or a signature that cannot be encoded or read.
    #[error("gave a malformed signature")]
    Malformed(#[from] ssh_key::Error),
    /// A signature that does not count.
    #[error("did not sign with the key {key}")]
    Signature {
        /// The key.
        key: Fingerprint,
        /// What is wrong with the signature.
        source: SignatureError,
    },
}

impl AgentFault {
    /// What the administrator can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoEnvironment => {
                "start an agent, or forward yours with `ssh -A`; or name its socket in \
                 auth_service.ca_keys"
            }
            Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "the user that runs this needs access to the socket and its directory"
            }
            Self::Connect(_) => {
                "start the agent there (ssh-agent -a SOCKET) and add the key, or correct \
                 auth_service.ca_keys"
            }
            Self::Timeout(_) => {
                "confirm, touch the token or type its PIN where the agent asks for it; if it does \
                 not ask, it hangs"
            }
            Self::Io(_) | Self::HungUp => {
                "ssh-agent serves only the user that it runs as, and root: run both as the same \
                 user"
            }
            Self::Nonsense(_) | Self::Malformed(_) | Self::Signature { .. } => {
                "nothing was signed; see what listens there, and whether the token is sound"
            }
            Self::Empty => {
                "unlock it with `ssh-add -X`, or add the key: `ssh-add FILE`, or for a token \
                 `ssh-add -s LIBRARY`"
            }
            Self::NotHeld { .. } => {
                "add the key with `ssh-add FILE`, or for a token `ssh-add -s LIBRARY`; or correct \
                 auth_service.ca_keys"
            }
            Self::Key(_) => "a CA has an Ed25519, ECDSA or RSA key, RSA of 2048 bits or more",
            Self::Refused(_) => {
                "an agent refuses when nobody confirms (ssh-add -c), or when the token is gone or \
                 wants its PIN again: `ssh-add -e LIBRARY`, `ssh-add -s LIBRARY`"
            }
        }
    }
}

/// The keys that an agent lists, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKeys(Vec<String>);

impl ListedKeys {
    pub(super) fn of(identities: &[AgentIdentity]) -> Self {
        let shown = identities.iter().map(|identity| {
            let comment = Printable(&identity.comment).within(MAX_COMMENT);
            match PresentedKey::decode(&identity.blob) {
                Ok(key) => format!("{} ({comment})", key.fingerprint()),
                Err(error) => format!("one that cannot be read: {error} ({comment})"),
            }
        });
        Self(shown.collect())
    }
}

impl fmt::Display for ListedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().take(MAX_LISTED).map(String::as_str).collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
