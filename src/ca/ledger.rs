//! The ledger of issued certificates: `issued.jsonl`, one JSON object per line, only ever appended.
//!
//! A line is on disk before its certificate is handed out. Every writer holds an exclusive lock on
//! the file, so that lines of several processes never mix and no serial is given twice.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::CaError;
use super::{CaKind, lines};
use crate::cert::random_serial;
use crate::model::Serial;
use crate::sys::fs::{FileLock, FsError};

/// The ledger's name in the data directory.
pub(super) const FILE_NAME: &str = "issued.jsonl";

/// One line of the ledger: what was signed, for whom, by which key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueRecord {
    /// When it was signed (RFC 3339).
    pub time: DateTime<Utc>,
    /// The certificate's type, and so the authority's.
    #[serde(rename = "type")]
    pub kind: CaKind,
    /// The serial, which no other line has; a number, as earlier versions read it.
    #[serde(serialize_with = "Serial::as_number")]
    pub serial: Serial,
    /// The key id: the person, or the host's first name.
    pub key_id: String,
    /// Logins, or host names.
    pub principals: Vec<String>,
    /// Start of validity as the certificate carries it, in seconds since the epoch.
    pub valid_after: u64,
    /// End of validity, in seconds since the epoch; the first second that is no longer valid.
    pub valid_before: u64,
    /// SHA-256 fingerprint of the certified key, as `ssh-keygen -l` prints it.
    pub public_key: String,
    /// SHA-256 fingerprint of the authority's key.
    pub ca: String,
    /// Critical options, such as `source-address`.
    pub critical_options: BTreeMap<String, String>,
}

/// The part of a line that the next serial must differ from.
#[derive(Deserialize)]
struct SerialOnly {
    serial: Serial,
}

/// The ledger of one data directory.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// The serials in the first `upto` bytes of the file.
#[derive(Debug, Default)]
struct Seen {
    serials: HashSet<Serial>,
    upto: u64,
}

impl Ledger {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: Mutex::default(),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Has `sign` make a certificate with a fresh serial, and gives it out once its record is on
    /// disk. Signing may take long: nobody waits meanwhile, and should somebody else have taken the
    /// serial by then, it is signed again with another one.
    pub(super) fn issue<T>(
        &self,
        sign: impl Fn(Serial) -> Result<(T, IssueRecord), CaError>,
    ) -> Result<(T, IssueRecord), CaError> {
        loop {
            let serial = self.locked(|seen, _torn| Ok(seen.fresh()))?;
            let (certificate, record) = sign(serial)?;
            let is_ours = self.locked(|seen, torn| {
                let is_ours = !seen.serials.contains(&serial);
                if is_ours {
                    self.append(&record, torn)?;
                }
                Ok(is_ours)
            })?;
            if is_ours {
                return Ok((certificate, record));
            }
        }
    }

    /// Looks at what everybody has written, while nobody else writes. The flag says whether the last
    /// line is torn.
    fn locked<T>(
        &self,
        look: impl FnOnce(&Seen, bool) -> Result<T, CaError>,
    ) -> Result<T, CaError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = FileLock::wait(&self.path)?;
        let torn = seen.read_on(&self.path)?;
        look(&seen, torn)
    }

    fn append(&self, record: &IssueRecord, torn: bool) -> Result<(), CaError> {
        let line = serde_json::to_string(record).map_err(CaError::Record)?;
        Ok(lines::append(&self.path, &format!("{line}\n"), torn)?)
    }
}

/// Every certificate that a data directory's authorities have issued, in the order of issue. A line
/// that is none is passed over: its certificate was never handed out.
///
/// # Errors
/// When the ledger is there and cannot be read.
pub fn issued(data_dir: &Path) -> Result<Vec<IssueRecord>, CaError> {
    let mut records = Vec::new();
    let read = lines::read(&data_dir.join(FILE_NAME), 0, |line| {
        records.extend(serde_json::from_slice::<IssueRecord>(line));
    });
    match read {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(records),
    }
}

impl Seen {
    /// Reads what was added since the last time. True when the last line has no end: a crash tore
    /// it, and its certificate was never handed out.
    fn read_on(&mut self, path: &Path) -> Result<bool, FsError> {
        let metadata = std::fs::metadata(path).map_err(FsError::io("inspect", path))?;
        let length = metadata.len();
        if length < self.upto {
            *self = Self::default();
        }
        let serials = &mut self.serials;
        let (upto, torn) = lines::read(path, self.upto, |line| {
            serials.extend(serde_json::from_slice(line).map(|SerialOnly { serial }| serial));
        })?;
        self.upto = upto;
        Ok(torn)
    }

    /// A random serial that no line has.
    fn fresh(&self) -> Serial {
        loop {
            let serial = random_serial();
            if !self.serials.contains(&serial) {
                return serial;
            }
        }
    }
}
