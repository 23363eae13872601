//! The two CAs, user and host: their keys, what they sign, and the record of it.
//!
//! Invariants:
//! - a CA's private key never leaves `file_key.rs`, or is in an agent and never here (`agent_key.rs`);
//! - an existing key file is never overwritten; only the end of a rotation, or an import that says so,
//!   has one key take the other's place (`settling.rs`);
//! - opening reads ([`Authorities::open`], [`Authority::open`]); only [`KeyOwner`] changes keys;
//! - no certificate of a person or a host is signed but by [`Issuer`], and none is handed out before its
//!   line in the ledger is on the disk. The proxy's own short-lived host certificates,
//!   [`HostCertIssuer`], are not in the ledger: they live in memory for an hour, and
//!   [`Authority::sign_for_proxy`] checks that they are nothing else. What a key of the host CA signs for
//!   its successor is neither: it is of no use to a host.
//!
//! What is in the data directory:
//! - `ca/` (0700), with `user_ca`, `host_ca` (0600, OpenSSH private key files), `user_ca.pub`,
//!   `host_ca.pub` and `lock`, an empty file that is locked while keys are changed. Of a key that an
//!   agent has, there is the `.pub` file alone;
//! - during a rotation also `user_ca_new` or `host_ca_new`, and `user_rotation.json`,
//!   `host_rotation.json`, which say where it stands; after one `user_ca_kept_N` or `host_ca_kept_N`,
//!   the keys that were replaced, no longer trusted;
//! - `host_ca_successors` (0644) after the first rotation of the host CA: see `successors.rs`;
//! - `issued.jsonl` (0600), the ledger: see [`IssueRecord`]; it also has how far the two others were;
//! - `revoked.jsonl` (0600), what is revoked and why: see [`RevocationRecord`].

mod agent_error;
mod agent_key;
mod agent_key_config;
mod authorities;
mod authority;
mod error;
mod file_key;
mod hostkey;
mod import;
mod installation;
mod issue_log;
mod issuer;
mod key;
mod key_owner;
mod keyring;
mod keystore;
mod kind;
mod ledger;
mod lines;
mod mint;
mod node_keys;
mod outstanding;
mod probe_certificate;
mod records;
mod remote;
mod replaced_keys;
mod revocation;
mod revocation_log;
mod revocation_store;
mod revocations;
mod rotation;
mod rotation_file;
#[cfg(test)]
mod rotation_tests;
mod settling;
mod successors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod ttl;
mod waiting;

pub use agent_error::{AgentFault, AgentKeyError, ListedKeys};
pub use agent_key::SignTimeout;
pub use agent_key_config::{AgentSocket, CaKeys, KeyInAgent, KeysInAgents};
pub use authorities::Authorities;
pub use authority::Authority;
pub use error::CaError;
pub use hostkey::NewHostKey;
pub use import::{ImportError, ImportMode, ImportedKey, KeyFile, LockedKey};
pub use installation::Installation;
pub use issue_log::{IssueLog, IssueRecord, IssuedFor, RotationMoves};
pub use issuer::{IssueError, IssueRequest, Issued, Issuer, IssuingRules};
pub use key_owner::{KeyOwner, Made};
pub use kind::CaKind;
pub use ledger::Ledger;
pub use mint::{Cached, HostCertIssuer, HostIdentity};
pub use node_keys::{Lack, Lacking, NodeKeys, NodeReports, lacking};
pub use outstanding::{Outstanding, outstanding};
pub use probe_certificate::{ClockSkewProbe, ProbeCertificate};
pub use records::CaRecords;
pub use remote::{RemoteHostKey, SignsHosts};
pub use revocation::{RevocationRecord, Revoked};
pub use revocation_log::RevocationLog;
pub use revocation_store::{RevocationStore, RevokeOutcome};
pub use revocations::Revocations;
pub use rotation::{MoveError, Rotation, RotationPhase, Schedule, Which};
pub use ttl::{TtlLimits, TtlTooLong};
