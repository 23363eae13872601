//! The set of CA keys that count.

use std::collections::HashSet;

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

/// The trusted CA public keys of one kind (user or host). Whole keys are compared, never fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys(HashSet<KeyData>);

impl TrustedKeys {
    /// Whether this very key is trusted. A certificate never is (CVE-2025-49825).
    #[must_use]
    pub fn contains(&self, key: &KeyData) -> bool {
        !key.is_certificate() && self.0.contains(key)
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<PublicKey>> for TrustedKeys {
    fn from(keys: Vec<PublicKey>) -> Self {
        keys.into_iter().collect()
    }
}

impl FromIterator<PublicKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(KeyData::from).collect())
    }
}
