//! Where the CAs of one installation are, and how its configuration describes them.

use super::agent_key_config::{CaKeys, KeysInAgents};
use super::kind::CaKind;
use super::records::CaRecords;
use crate::model::{ClusterName, DataDir};
use crate::sys::clock::Clock;

/// What there is to know about an installation before its CAs can be opened.
#[derive(Clone, Debug)]
pub struct Installation<'c> {
    /// Where its files are.
    pub data_dir: &'c DataDir,
    /// Its name.
    pub cluster: &'c ClusterName,
    /// The CAs' keys that agents have.
    pub ca_keys: &'c CaKeys,
    /// What its CAs have issued, and what is revoked.
    pub records: CaRecords,
    /// The time.
    pub clock: Clock,
}

impl<'c> Installation<'c> {
    /// The comment of a CA's keys.
    pub(super) fn comment(&self, kind: CaKind) -> String {
        format!("rproxy {kind} CA {}", self.cluster)
    }

    /// The keys of one CA that are in agents.
    pub(super) fn in_agents(&self, kind: CaKind) -> &'c KeysInAgents {
        self.ca_keys.of(kind)
    }

    /// Seconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        self.clock.unix_seconds()
    }
}
