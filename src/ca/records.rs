//! The records of an installation: what its CAs have issued, what is revoked, and which keys of the CAs the
//! nodes have.

use std::sync::Arc;

use super::issue_log::IssueLog;
use super::ledger::Ledger;
use super::node_keys::{NoNodes, NodeReports};
use super::revocation_log::RevocationLog;
use super::revocation_store::RevocationStore;
use crate::model::DataDir;
use crate::sys::clock::Clock;

/// The records of one installation, wherever they are. Clones share them.
#[derive(Clone, Debug)]
pub struct CaRecords {
    /// What was issued.
    pub issued: Arc<dyn IssueLog>,
    /// What is revoked.
    pub revoked: Arc<dyn RevocationStore>,
    /// What the nodes that have joined have of the CAs' keys.
    pub nodes: Arc<dyn NodeReports>,
}

impl CaRecords {
    /// Those in the files of a data directory. Nothing is read or made yet.
    #[must_use]
    pub fn in_files(data_dir: &DataDir, clock: Clock) -> Self {
        Self {
            issued: Arc::new(Ledger::of(data_dir)),
            revoked: Arc::new(RevocationLog::new(data_dir, clock)),
            nodes: Arc::new(NoNodes),
        }
    }
}
