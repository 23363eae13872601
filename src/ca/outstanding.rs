//! What is still signed by a key that is about to go, read from the ledger.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CaKind;
use super::error::CaError;
use super::ledger::{self, IssueRecord};
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

/// Certificates of one kind that are good at `now`, signed by one of the keys that leave, for whom
/// nothing was signed by another key since. Those that end last come first.
pub(super) fn find(
    ledger: &Path,
    kind: CaKind,
    leaving: &HashSet<String>,
    now: u64,
) -> Result<Vec<Outstanding>, CaError> {
    if leaving.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_subject: BTreeMap<String, Vec<Outstanding>> = BTreeMap::new();
    for record in ledger::issued_in(ledger)? {
        if record.kind != kind {
            continue;
        }
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
