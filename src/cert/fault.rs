//! What can be wrong with a certificate of either type.

use ssh_key::public::KeyData;
use ssh_key::{Certificate, Fingerprint, HashAlg, PublicKey};
use thiserror::Error;

use super::signature::check_signature;
use super::signature_error::SignatureError;
use super::{TrustedKeys, key, shown};

/// A fault that users' and hosts' certificates have in common. The message continues a sentence
/// that began with whose certificate it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CertFault {
    /// The signature key is itself a certificate (CVE-2025-49825).
    #[error("has a signature key that is itself a certificate")]
    NestedCertificate,
    /// Signed by a key that is not trusted.
    #[error("is signed by {0}, which is not a trusted CA key")]
    UnknownAuthority(Fingerprint),
    /// The CA's signature does not verify, or uses SHA-1.
    #[error("does not carry a valid signature of its CA: {0}")]
    Signature(#[source] SignatureError),
    /// The certified key or the CA key is RSA with too few bits.
    #[error("has an RSA key of {0} bits, at least {min} are required", min = key::MIN_RSA_BITS)]
    WeakKey(usize),
    /// `valid after` lies ahead.
    #[error("is not yet valid: it starts at {}", shown::time(*.0))]
    NotYetValid(u64),
    /// `valid before` has passed.
    #[error("has expired: it ended at {}", shown::time(*.0))]
    Expired(u64),
    /// No principals. OpenSSH reads an empty list as "any"; here it is refused.
    #[error("lacks a principal list")]
    NoPrincipals,
    /// A critical option that is not understood, by name.
    #[error("has an unknown critical option \"{}\"", shown::text(.0))]
    UnknownCriticalOption(String),
}

/// Signature key, signature and key sizes: whether a trusted CA made this certificate.
pub(super) fn check_authority(cert: &Certificate, trusted: &TrustedKeys) -> Result<(), CertFault> {
    let authority = cert.signature_key();
    if matches!(authority, KeyData::Certificate(_)) {
        return Err(CertFault::NestedCertificate);
    }
    if !trusted.contains(authority) {
        let fingerprint = authority.fingerprint(HashAlg::Sha256);
        return Err(CertFault::UnknownAuthority(fingerprint));
    }
    for key in [authority, cert.public_key()] {
        if let Some(bits) = key::weak_rsa_bits(key) {
            return Err(CertFault::WeakKey(bits));
        }
    }
    // A certificate that was decoded can be encoded; if not, no signature covers it.
    let signed = key::signed_part(cert)
        .ok()
        .ok_or(CertFault::Signature(SignatureError::Wrong))?;
    check_signature(authority, &signed, cert.signature()).map_err(CertFault::Signature)
}

/// Whether the CA that a certificate names has signed it; not whether that CA is trusted.
///
/// # Errors
/// As for certificates that are used: a nested certificate, a weak key, a wrong signature.
pub fn check_ca_signature(cert: &Certificate) -> Result<(), CertFault> {
    let named = PublicKey::from(cert.signature_key().clone());
    check_authority(cert, &TrustedKeys::from(vec![named]))
}

/// `valid after <= now < valid before` (PROTOCOL.certkeys).
pub(super) fn check_validity(cert: &Certificate, now: u64) -> Result<(), CertFault> {
    if now < cert.valid_after() {
        Err(CertFault::NotYetValid(cert.valid_after()))
    } else if now >= cert.valid_before() {
        Err(CertFault::Expired(cert.valid_before()))
    } else {
        Ok(())
    }
}
