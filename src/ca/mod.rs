//! The two CAs, user and host: their keys, what they sign, and the record of it.
//!
//! Invariants: a CA's private key never leaves `keystore.rs`, or is in an agent and never here
//! (`agent_key.rs`); an existing key file is never
//! overwritten (only the end of a rotation, or an import that says so, has one key take the other's place),
//! and no certificate is handed out before its line in the ledger is on disk. (The
//! proxy's own short-lived host certificates, [`HostCertIssuer`], are the one exception: they live in
//! memory for an hour and are not in the ledger.)
//!
//! What is in the data directory:
//! - `ca/` (0700) with, during a rotation, `user_ca_new` or `host_ca_new` beside the following, and
//!   `user_rotation.json`, `host_rotation.json`, which say where it stands; after one
//!   `user_ca_kept_N` or `host_ca_kept_N`, the keys from before, which nobody trusts;
//! - in it `user_ca`, `host_ca` (0600, OpenSSH private key files), `user_ca.pub`,
//!   `host_ca.pub` and `lock`, an empty file that is locked while keys are made. Of a key that an
//!   agent has, there is the `.pub` file alone;
//! - `issued.jsonl` (0600), the ledger: see [`IssueRecord`]; it also has how far the two others were;
//! - `revoked.jsonl` (0600), what is revoked and why: see [`RevocationRecord`].

mod agent_error;
mod agent_key;
mod agent_key_config;
mod authority;
mod error;
mod hostkey;
mod import;
mod key;
mod keyring;
mod keystore;
mod ledger;
mod lines;
mod look;
mod mint;
mod outstanding;
mod probe_certificate;
mod remote;
mod replaced_keys;
mod revocations;
mod revoke;
mod rotation;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::CertificateType;

pub use agent_error::{AgentFault, AgentKeyError, ListedKeys};
pub use agent_key::SignTimeout;
pub use agent_key_config::{AgentSocket, CaKeys, KeyInAgent, KeysInAgents};
pub use authority::{Authorities, Authority, Installation, Issued, Made};
pub use error::CaError;
pub use hostkey::NewHostKey;
pub use import::{ImportError, ImportMode, ImportedKey, KeyFile, LockedKey};
pub use ledger::{FILE_NAME as LEDGER, IssueRecord, issued};
pub use look::Seen;
pub use mint::{Cached, HostCertIssuer, HostIdentity};
pub use outstanding::Outstanding;
pub use probe_certificate::{ClockSkewProbe, ProbeCertificate};
pub use remote::{Connect, RemoteHostKey, SignsHosts};
pub use revocations::Revocations;
pub use revoke::{RevocationLog, RevocationRecord, RevokeOutcome, Revoked};
pub use rotation::{MoveError, Rotation, RotationPhase, Schedule, Which};

/// Which of the two CAs: the one that vouches for people, or the one for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaKind {
    /// Signs user certificates; hosts and the proxy trust it.
    User,
    /// Signs host certificates; clients and the proxy trust it.
    Host,
}

impl From<CaKind> for CertificateType {
    fn from(kind: CaKind) -> Self {
        match kind {
            CaKind::User => Self::User,
            CaKind::Host => Self::Host,
        }
    }
}

impl fmt::Display for CaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Host => "host",
        })
    }
}
