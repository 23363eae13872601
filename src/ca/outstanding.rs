//! Which certificates are still signed by a key that is about to be removed, read from the ledger.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, PublicKey};

use super::authority::Authority;
use super::error::CaError;
use super::issue_log::{IssueLog, IssueRecord};
use crate::model::Serial;

/// A certificate that ends with the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// Its serial.
    pub serial: Serial,
    /// The person, or the host's first name.
    pub key_id: String,
    /// Logins, or host names.
    pub principals: Vec<String>,
    /// When it ends by itself, in seconds since the epoch.
    pub valid_before: u64,
}

impl From<IssueRecord> for Outstanding {
    fn from(record: IssueRecord) -> Self {
        Self {
            serial: record.serial,
            key_id: record.key_id,
            principals: record.principals,
            valid_before: record.valid_before,
        }
    }
}

/// Certificates of a CA that are good at `now`, in seconds since the epoch, signed by a key that leaves,
/// for whose subject the key that signs now has signed none since: what would be refused if the rotation
/// ended now. Empty in standby. Those that end last come first.
///
/// # Errors
/// When the ledger cannot be read.
pub fn outstanding(
    authority: &Authority,
    ledger: &dyn IssueLog,
    now: u64,
) -> Result<Vec<Outstanding>, CaError> {
    let fingerprint = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    let signing = fingerprint(authority.public_key());
    let trusted = authority.public_keys().iter().map(fingerprint);
    let leaving: HashSet<_> = trusted.filter(|key| *key != signing).collect();
    if leaving.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_subject: BTreeMap<String, Vec<Outstanding>> = BTreeMap::new();
    let of_this = |record: &IssueRecord| record.kind == authority.kind();
    for record in ledger.issued()?.into_iter().filter(of_this) {
        let of_subject = by_subject.entry(record.key_id.clone()).or_default();
        if !leaving.contains(&record.ca) {
            of_subject.clear();
        } else if record.valid_before > now {
            of_subject.push(record.into());
        }
    }
    let mut found: Vec<_> = by_subject.into_values().flatten().collect();
    found.sort_by_key(|certificate| std::cmp::Reverse(certificate.valid_before));
    Ok(found)
}
