//! The secret that a key exchange agrees on.

use std::fmt;

use ssh_encoding::Mpint;
use zeroize::Zeroizing;

use crate::wire::error::{Error, Violation};

/// The library's failures that can only be its own.
pub(super) const FAILED: Error = Error::Crypto("key agreement");

/// A public value that is not one.
pub(super) const BAD_PUBLIC: Error = Error::Violation(Violation::KeyExchange("bad public value"));

/// The secret `K`, encoded as the exchange hash and the key derivation want it.
pub(in crate::wire) struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    /// A secret that is a number.
    pub(super) fn number(magnitude: &[u8]) -> Self {
        let mpint = Zeroizing::new(Mpint::from_positive_bytes(magnitude));
        Self::string(mpint.as_bytes())
    }

    /// A secret that is a string.
    pub(super) fn string(bytes: &[u8]) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 513 bytes")]
        let length = bytes.len() as u32;
        let mut encoded = Zeroizing::new(Vec::with_capacity(4 + bytes.len()));
        encoded.extend_from_slice(&length.to_be_bytes());
        encoded.extend_from_slice(bytes);
        Self(encoded)
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}
