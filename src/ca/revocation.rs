//! One revocation, or its lifting: a line of `revoked.jsonl`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::kind::CaKind;
use crate::model::Serial;

/// One line: one thing that is revoked, or is no longer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RevocationRecord {
    /// When it was written (RFC 3339).
    pub time: DateTime<Utc>,
    /// The version of the revocation list that has it: each line's is higher than all before.
    pub version: u64,
    /// The account that ran the command; under sudo, the account that called sudo.
    pub by: String,
    /// Why; users read it.
    pub reason: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Revoked,
}

/// What a line revokes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Revoked {
    /// One certificate.
    Serial {
        /// Its serial; a number, as earlier versions read it.
        #[serde(serialize_with = "Serial::as_number")]
        serial: Serial,
        /// The keys of the CAs that it may be of, as in a `.pub` file; none for any CA.
        ca_keys: Vec<String>,
    },
    /// All certificates with a key id, past and future.
    KeyId {
        /// The key id.
        key_id: String,
        /// Whose certificates: people's or hosts'; `None` for both, and for those of any CA.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        kind: Option<CaKind>,
        /// The keys that the CA of that type had, as in a `.pub` file; none for any CA. Keys that it
        /// has later sign nothing for this key id.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ca_keys: Vec<String>,
    },
    /// A key: alone, in any certificate, and as a CA.
    PublicKey {
        /// Its SHA-256 fingerprint, as the ledger and `ssh-keygen -l` have it.
        public_key: String,
    },
    /// Nothing: what earlier lines revoked is revoked no more.
    Lifted {
        /// What those lines say.
        lifts: Box<Self>,
    },
}

impl Revoked {
    /// All certificates with a key id, of any CA.
    #[must_use]
    pub fn of_key_id(key_id: String) -> Self {
        Self::KeyId {
            key_id,
            kind: None,
            ca_keys: Vec::new(),
        }
    }

    /// Whether all that `other` revokes is revoked by this already.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let has_all = |keys: &[String], others: &[String]| {
            let has_all = !others.is_empty() && others.iter().all(|key| keys.contains(key));
            keys.is_empty() || has_all
        };
        match (self, other) {
            (
                Self::Serial { serial, ca_keys },
                Self::Serial {
                    serial: other,
                    ca_keys: others,
                },
            ) => serial == other && has_all(ca_keys, others),
            (
                Self::KeyId {
                    key_id,
                    kind,
                    ca_keys,
                },
                Self::KeyId {
                    key_id: other,
                    kind: other_kind,
                    ca_keys: others,
                },
            ) => {
                key_id == other
                    && (kind.is_none() || kind == other_kind)
                    && has_all(ca_keys, others)
            }
            _ => self == other,
        }
    }
}
