//! CA keys that are not in the data directory: which ones, and which agent holds them.
//!
//! This is configuration only; no agent is contacted here.

use std::fmt;
use std::path::PathBuf;

use ssh_key::{Fingerprint, HashAlg, PublicKey};

use super::kind::CaKind;

/// The agent that `SSH_AUTH_SOCK` names when a key is needed, in the word of `ssh_config(5)`.
const ENVIRONMENT: &str = "SSH_AUTH_SOCK";
/// Longest path of a socket, in bytes: what fits into `sun_path` with the zero after it.
const MAX_SOCKET_PATH: usize = 107;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentSocket {
    /// At this path.
    Path(PathBuf),
    /// Where the environment variable `SSH_AUTH_SOCK` of this process says.
    Environment,
}

impl AgentSocket {
    /// Reads an absolute path, or `SSH_AUTH_SOCK`; `None` where it is neither, or longer than the
    /// path of a socket can be.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == ENVIRONMENT {
            return Some(Self::Environment);
        }
        let path = PathBuf::from(text);
        let fits = text.len() <= MAX_SOCKET_PATH && !text.contains('\0');
        (path.is_absolute() && fits).then_some(Self::Path(path))
    }

    /// The path, if there is one now.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Path(path) => Some(path.clone()),
            Self::Environment => std::env::var_os(ENVIRONMENT)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
        }
    }
}

impl fmt::Display for AgentSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Environment => f.write_str(ENVIRONMENT),
        }
    }
}

/// One key in an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInAgent {
    /// The agent.
    pub agent: AgentSocket,
    /// The key: SHA-256, as `ssh-add -l` prints it.
    pub key: Fingerprint,
}

impl KeyInAgent {
    /// Whether it is this key.
    pub(super) fn is(&self, key: &PublicKey) -> bool {
        key.fingerprint(HashAlg::Sha256) == self.key
    }
}

/// The keys of one CA that are in agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysInAgents {
    /// The CA's key; without one it is a file.
    pub current: Option<KeyInAgent>,
    /// The key that the next rotation brings.
    pub next: Option<KeyInAgent>,
}

impl KeysInAgents {
    /// Whether all keys are files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Where this key is, if it is one of them.
    pub(super) fn find(&self, key: &PublicKey) -> Option<&KeyInAgent> {
        self.iter().find(|one| one.is(key))
    }

    fn iter(&self) -> impl Iterator<Item = &KeyInAgent> {
        self.current.iter().chain(&self.next)
    }
}

/// The keys of both CAs that are in agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaKeys {
    /// Of the user CA.
    pub user: KeysInAgents,
    /// Of the host CA.
    pub host: KeysInAgents,
}

impl CaKeys {
    /// Those of one CA.
    #[must_use]
    pub fn of(&self, kind: CaKind) -> &KeysInAgents {
        match kind {
            CaKind::User => &self.user,
            CaKind::Host => &self.host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_an_absolute_path_or_the_variable() {
        let path = |text: &str| AgentSocket::Path(PathBuf::from(text));
        let longest = format!("/{}", "a".repeat(106));
        for good in ["/run/agent", &longest] {
            assert_eq!(AgentSocket::parse(good), Some(path(good)));
        }
        assert_eq!(
            AgentSocket::parse("SSH_AUTH_SOCK"),
            Some(AgentSocket::Environment)
        );
        for bad in ["", "agent", "~/agent", "/a\0b", &format!("{longest}a")] {
            assert_eq!(AgentSocket::parse(bad), None, "{bad:?}");
        }
    }
}
