//! Key revocation lists: OpenSSH's `PROTOCOL.krl`, written and read by our own code.
//!
//! [`RevocationList`] is what a list says, and the answer to whether a key is on it, as sshd gives
//! it for its `RevokedKeys`. `encode` picks the shortest form, `decode` trusts nothing. This room
//! knows no reasons and no files; `ca` does.

mod decode;
mod encode;
mod serials;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use aws_lc_rs::digest;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, Fingerprint, HashAlg, PublicKey};
use thiserror::Error;

pub use decode::MAX_ENTRIES;
use serials::SerialSet;

use super::PresentedKey;
use crate::model::Serial;

/// Largest list that is read or written, in bytes. OpenSSH holds twice as much.
pub const MAX_KRL: usize = 64 * 1024 * 1024;

/// `SSHKRL\n\0`.
const MAGIC: [u8; 8] = *b"SSHKRL\n\0";
const FORMAT_VERSION: u32 = 1;

/// `section_type` of `PROTOCOL.krl`.
mod section {
    pub(super) const CERTIFICATES: u8 = 1;
    pub(super) const EXPLICIT_KEY: u8 = 2;
    pub(super) const FINGERPRINT_SHA1: u8 = 3;
    pub(super) const SIGNATURE: u8 = 4;
    pub(super) const FINGERPRINT_SHA256: u8 = 5;
    pub(super) const EXTENSION: u8 = 255;
}

/// `cert_section_type` of `PROTOCOL.krl`.
mod cert_section {
    pub(super) const SERIAL_LIST: u8 = 0x20;
    pub(super) const SERIAL_RANGE: u8 = 0x21;
    pub(super) const SERIAL_BITMAP: u8 = 0x22;
    pub(super) const KEY_ID: u8 = 0x23;
    pub(super) const EXTENSION: u8 = 0x39;
}

/// Most bits of a serial bitmap that is written: old OpenSSH reads no longer integer.
const MAX_BITMAP_BITS: u64 = 16_384;
/// Most bits of one that is read: OpenSSH writes no longer bitmap.
const MAX_READ_BITS: u64 = 1 << 24;

/// Why bytes are not a list that can be used, or a list cannot become bytes.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KrlError {
    /// The magic is missing.
    #[error("this is not an OpenSSH key revocation list")]
    Magic,
    /// Another format than the one of `PROTOCOL.krl`.
    #[error("the revocation list has format version {0}, only {FORMAT_VERSION} is known")]
    Format(u32),
    /// A length reaches beyond the end of what holds it.
    #[error("the revocation list is cut off, or a length in it is wrong")]
    Truncated,
    /// Bytes remain where a section must be at its end.
    #[error("the revocation list has a section with bytes left over")]
    LeftOver,
    /// A section type that is not known, and not an extension either.
    #[error("the revocation list has a section of the unknown type {0:#04x}")]
    UnknownSection(u8),
    /// An extension that must be understood, and is not.
    #[error("the revocation list has an unknown critical extension \"{}\"", super::shown::text(.0))]
    CriticalExtension(String),
    /// A section after a signature, which therefore does not cover it.
    #[error("the revocation list has a section after its signature")]
    AfterSignature,
    /// Serial zero stands for "not numbered" and cannot be revoked.
    #[error("the revocation list names the serial 0")]
    SerialZero,
    /// A range whose end is before its start.
    #[error("the revocation list has a range of serials from {0} to {1}")]
    BackwardRange(u64, u64),
    /// A bitmap that is negative, too long, or reaches beyond the last serial.
    #[error("the revocation list has a malformed bitmap of serials")]
    Bitmap,
    /// A hash of the wrong length.
    #[error("the revocation list has a hash of {0} bytes")]
    HashLength(usize),
    /// A text with a NUL byte inside.
    #[error("the revocation list has a text with a NUL byte")]
    Nul,
    /// More than [`MAX_KRL`] bytes.
    #[error("the revocation list is larger than {} MiB", MAX_KRL / (1024 * 1024))]
    TooLarge,
    /// More than [`MAX_ENTRIES`] entries.
    #[error("the revocation list has more than {MAX_ENTRIES} entries")]
    TooMany,
}

/// Which entry of a list applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The key's fingerprint is listed.
    Fingerprint,
    /// The key itself is listed.
    Key,
    /// The certificate's key id is listed.
    KeyId,
    /// The certificate's serial is listed.
    Serial,
    /// The key of the certificate's CA is listed.
    Authority,
}

/// Whose certificates an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Those of any CA.
    Any,
    /// Those that this key signed: its blob.
    Ca(Vec<u8>),
}

/// What is revoked among the certificates of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RevokedCertificates {
    serials: SerialSet,
    key_ids: BTreeSet<Vec<u8>>,
}

impl RevokedCertificates {
    fn why(&self, certificate: &Certificate) -> Option<Why> {
        if self.key_ids.contains(certificate.key_id().as_bytes()) {
            return Some(Why::KeyId);
        }
        let serial = certificate.serial();
        // Zero is what a CA writes that does not number its certificates.
        (serial != 0 && self.serials.contains(serial)).then_some(Why::Serial)
    }
}

/// A key revocation list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// Grows with every change.
    pub version: u64,
    /// When it was made, in seconds since the epoch.
    pub generated: u64,
    /// For people; without NUL bytes.
    pub comment: String,
    certificates: BTreeMap<Scope, RevokedCertificates>,
    keys: BTreeSet<Vec<u8>>,
    sha1: BTreeSet<[u8; 20]>,
    sha256: BTreeSet<[u8; 32]>,
}

impl RevocationList {
    /// Revokes the certificates with these serials; of one CA, or of any.
    pub fn revoke_serials(&mut self, ca: Option<&PublicKey>, serials: RangeInclusive<Serial>) {
        let (low, high) = serials.into_inner();
        self.of_ca(ca).serials.insert(low.number()..=high.number());
    }

    /// Revokes the certificates with this key id; of one CA, or of any. OpenSSH ends a key id at its
    /// first NUL byte, and so does the entry.
    pub fn revoke_key_id(&mut self, ca: Option<&PublicKey>, key_id: &str) {
        let key_id = key_id.split('\0').next().unwrap_or_default();
        self.of_ca(ca).key_ids.insert(key_id.as_bytes().to_vec());
    }

    /// Revokes a key: alone, in any certificate, and as the key of a CA.
    pub fn revoke_key(&mut self, key: &PublicKey) {
        self.keys.extend(blob(key.key_data()));
    }

    /// Revokes the key with this fingerprint, as [`Self::revoke_key`]. `false` for a hash that a
    /// list cannot hold: SHA-256 only.
    #[must_use]
    pub fn revoke_fingerprint(&mut self, fingerprint: &Fingerprint) -> bool {
        let hash = fingerprint.sha256();
        self.sha256.extend(hash);
        hash.is_some()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
            && self.keys.is_empty()
            && self.sha1.is_empty()
            && self.sha256.is_empty()
    }

    /// Whether the list revokes a key or a certificate, and by which entry. sshd asks the same
    /// questions of its `RevokedKeys`.
    #[must_use]
    pub fn why_revoked(&self, key: &PresentedKey) -> Option<Why> {
        match key {
            PresentedKey::Plain(key) => self.why_key(key.key_data()),
            PresentedKey::Certificate(certificate) => self.why_certificate(certificate),
        }
    }

    /// The same for a certificate.
    #[must_use]
    pub fn why_certificate(&self, certificate: &Certificate) -> Option<Why> {
        self.why_key(certificate.public_key())
            .or_else(|| self.why_number_or_id(certificate))
            .or_else(|| {
                self.why_key(certificate.signature_key())
                    .map(|_| Why::Authority)
            })
    }

    fn why_number_or_id(&self, certificate: &Certificate) -> Option<Why> {
        if self.certificates.is_empty() {
            return None;
        }
        let own = blob(certificate.signature_key()).map(Scope::Ca);
        [own, Some(Scope::Any)]
            .iter()
            .flatten()
            .find_map(|scope| self.certificates.get(scope)?.why(certificate))
    }

    fn why_key(&self, key: &KeyData) -> Option<Why> {
        if !self.sha256.is_empty() {
            let hash = key.fingerprint(HashAlg::Sha256).sha256();
            if hash.is_some_and(|hash| self.sha256.contains(&hash)) {
                return Some(Why::Fingerprint);
            }
        }
        if self.keys.is_empty() && self.sha1.is_empty() {
            return None;
        }
        let blob = blob(key)?;
        if self.keys.contains(&blob) {
            return Some(Why::Key);
        }
        if self.sha1.is_empty() {
            return None;
        }
        // The format has it; as a name for a key, not as protection.
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &blob);
        let hash = <[u8; 20]>::try_from(hash.as_ref()).ok()?;
        self.sha1.contains(&hash).then_some(Why::Fingerprint)
    }

    fn of_ca(&mut self, ca: Option<&PublicKey>) -> &mut RevokedCertificates {
        let blob = ca.and_then(|ca| blob(ca.key_data()));
        let scope = blob.map_or(Scope::Any, Scope::Ca);
        self.certificates.entry(scope).or_default()
    }
}

/// A plain key as the wire has it. A key that was decoded can be encoded.
fn blob(key: &KeyData) -> Option<Vec<u8>> {
    PublicKey::from(key.clone()).to_bytes().ok()
}
