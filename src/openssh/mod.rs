//! The text files that OpenSSH reads, as pure renderers: `TrustedUserCAKeys`, `authorized_keys`,
//! `known_hosts` (sshd(8)), lines for `sshd_config`(5) and the clients' block for `ssh_config`(5).
//!
//! Nothing here reads or writes a file, and nothing here knows where a key comes from. A value that
//! would break a line, or would be read as two, is an error, never escaped into something else.

mod export;
mod keys;
mod known_hosts;
mod ssh_config;
mod sshd_config;

use thiserror::Error;

pub use export::{Export, ExportError, ExportFormat};
pub use keys::{authorized_keys_authority, plain_key};
pub use known_hosts::{HostPatterns, known_hosts_authority};
pub use ssh_config::{ClientBlock, begin, end, host_pattern};
pub use sshd_config::{host_certificate, host_key, revoked_keys, trusted_user_ca_keys};

/// Why something cannot be written into one of OpenSSH's files.
#[derive(Debug, Error)]
pub enum RenderError {
    /// The key has no OpenSSH text form.
    #[error("cannot encode the public key")]
    Key(#[source] ssh_key::Error),
    /// A comment would end its line.
    #[error("the comment {0:?} contains a control character")]
    Comment(String),
    /// There is no host pattern at all.
    #[error("a host pattern is empty")]
    NoPattern,
    /// A host pattern that ssh would read as something else.
    #[error("the host pattern {pattern:?} contains {character:?}, which is not allowed")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// Patterns that only exclude hosts match none: ssh asks for at least one that is not negated.
    #[error("every host pattern is negated, so that none matches")]
    OnlyNegated,
    /// A word that `ssh_config`(5) and every shell would have to quote, each in its own way.
    #[error("{0:?} cannot be written into ssh_config without quotes")]
    Word(String),
    /// A path that `sshd_config`(5) has no quoting for.
    #[error("the path {0:?} cannot be written into sshd_config")]
    Path(std::path::PathBuf),
}
