//! What certificates are recorded in, wherever that is: every certificate that was issued, and how far
//! the rotations of the CAs' keys have come.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::CaError;
use super::kind::CaKind;
use crate::model::Serial;
use crate::sys::clock::Clock;

/// One line of the ledger: the signed certificate, its subject, and the key that signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueRecord {
    /// When it was signed (RFC 3339).
    pub time: DateTime<Utc>,
    /// The certificate's type, and so the CA's.
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
    /// SHA-256 fingerprint of the CA's key.
    pub ca: String,
    /// Critical options, such as `source-address`.
    pub critical_options: BTreeMap<String, String>,
    /// Why it was issued. Lines that do not say it are of certificates that were requested.
    #[serde(rename = "how", default, skip_serializing_if = "IssuedFor::is_signed")]
    pub issued_for: IssuedFor,
}

/// Why a certificate was issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuedFor {
    /// This certificate was requested, by a command or by a host that joins.
    #[default]
    Signed,
    /// One connection of a user who is signed in needed it.
    Connection,
}

impl IssuedFor {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Connection => "connection",
        }
    }

    fn is_signed(&self) -> bool {
        *self == Self::Signed
    }
}

/// How often the rotations of the CAs' keys had moved when that was last recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationMoves {
    /// The user CA's.
    pub user: u64,
    /// The host CA's.
    pub host: u64,
}

impl RotationMoves {
    /// One CA's.
    #[must_use]
    pub fn of(&self, kind: CaKind) -> u64 {
        match kind {
            CaKind::User => self.user,
            CaKind::Host => self.host,
        }
    }
}

/// Records certificates and the moves of rotations. What is recorded is never changed or removed.
pub trait IssueLog: fmt::Debug + Send + Sync {
    /// Every certificate that was requested, in the order of issue.
    ///
    /// # Errors
    /// When the records cannot be read, or are damaged.
    fn issued(&self) -> Result<Vec<IssueRecord>, CaError>;

    /// Every certificate that was issued for a connection, in the order of issue. There can be millions.
    ///
    /// # Errors
    /// As [`Self::issued`].
    fn issued_for_connections(&self) -> Result<Vec<IssueRecord>, CaError>;

    /// How many certificates were issued for connections.
    ///
    /// # Errors
    /// As [`Self::issued`].
    fn count_for_connections(&self) -> Result<u64, CaError> {
        Ok(self.issued_for_connections()?.len() as u64)
    }

    /// The certificate with this serial, whatever it was issued for.
    ///
    /// # Errors
    /// As [`Self::issued`].
    fn find(&self, serial: Serial) -> Result<Option<IssueRecord>, CaError>;

    /// The fingerprint of the CA that has issued the last certificate of this kind, if other machines
    /// share these records: then a machine without a CA lacks that one, and must not make another.
    ///
    /// # Errors
    /// As [`Self::issued`].
    fn ca_of_other_machines(&self, _kind: CaKind) -> Result<Option<String>, CaError> {
        Ok(None)
    }

    /// A random serial that no record has.
    ///
    /// # Errors
    /// As [`Self::record`]: what could not be recorded is not signed.
    fn fresh_serial(&self) -> Result<Serial, CaError>;

    /// Records a certificate; durable when this returns. `false` if another record has the serial:
    /// then nothing is recorded.
    ///
    /// # Errors
    /// When the records cannot be read or written.
    fn record(&self, record: &IssueRecord) -> Result<bool, CaError>;

    /// How far the rotations are known to have come.
    ///
    /// # Errors
    /// As [`Self::issued`].
    fn rotation_moves(&self) -> Result<RotationMoves, CaError>;

    /// Records how often a rotation has moved, unless as much is known; durable when this returns.
    ///
    /// # Errors
    /// As [`Self::record`].
    fn mark_rotation(&self, kind: CaKind, moves: u64, clock: Clock) -> Result<(), CaError>;
}

/// Has `sign` make a certificate with a fresh serial, and gives it out once it is recorded. Signing may
/// take long: nothing is locked meanwhile. If another process has taken the serial by then, it is
/// signed again with another one.
pub(super) fn issue<T>(
    log: &dyn IssueLog,
    sign: impl Fn(Serial) -> Result<(T, IssueRecord), CaError>,
) -> Result<(T, IssueRecord), CaError> {
    loop {
        let (certificate, record) = sign(log.fresh_serial()?)?;
        if log.record(&record)? {
            return Ok((certificate, record));
        }
    }
}
