//! What is still signed by a key that is about to go, read from the ledger.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CaKind;
use super::error::CaError;
use crate::model::Serial;
use crate::sys::fs::FsError;

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

/// The part of a ledger line that matters here.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: CaKind,
    ca: String,
    #[serde(flatten)]
    certificate: Outstanding,
}

/// Certificates of one kind that are good at `now`, signed by one of the keys that leave, for whom
/// nothing was signed by another key since. Those that end last come first. Lines that do not parse
/// are passed over: a crash may have torn them.
pub(super) fn find(
    ledger: &Path,
    kind: CaKind,
    leaving: &HashSet<String>,
    now: u64,
) -> Result<Vec<Outstanding>, CaError> {
    if leaving.is_empty() {
        return Ok(Vec::new());
    }
    let file = match File::open(ledger) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(FsError::io("read", ledger))?,
    };
    let mut by_subject: BTreeMap<String, Vec<Outstanding>> = BTreeMap::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(FsError::io("read", ledger))?;
        let Ok(line) = serde_json::from_slice::<Line>(&line) else {
            continue;
        };
        if line.kind != kind {
            continue;
        }
        let of_subject = by_subject
            .entry(line.certificate.key_id.clone())
            .or_default();
        if !leaving.contains(&line.ca) {
            of_subject.clear();
        } else if line.certificate.valid_before > now {
            of_subject.push(line.certificate);
        }
    }
    let mut found: Vec<_> = by_subject.into_values().flatten().collect();
    found.sort_by_key(|certificate| std::cmp::Reverse(certificate.valid_before));
    Ok(found)
}
