//! Signature algorithms: their keys, their names, and how signatures are verified.
//!
//! An RSA key signs as `rsa-sha2-256` or `rsa-sha2-512` (RFC 8332). `ssh-rsa`, which uses SHA-1, is
//! legacy: it is accepted only from a host whose configuration names it.

use std::fmt;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use signature::Verifier;
use ssh_encoding::Reader;
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{HashAlg, Signature};

/// A way to sign.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// Ed25519 inside a security key (OpenSSH's PROTOCOL.u2f).
    SkEd25519,
    /// ECDSA over NIST P-256 (RFC 5656).
    EcdsaP256,
    /// ECDSA over NIST P-384.
    EcdsaP384,
    /// ECDSA over NIST P-521.
    EcdsaP521,
    /// ECDSA over NIST P-256 inside a security key.
    SkEcdsaP256,
    /// RSA with SHA-512 (RFC 8332).
    RsaSha512,
    /// RSA with SHA-256 (RFC 8332).
    RsaSha256,
    /// RSA with SHA-1 (RFC 4253 section 6.6); legacy.
    RsaSha1,
}

impl SignatureAlgorithm {
    /// Every one that is not legacy, the most preferred first.
    pub const ALL: &'static [Self] = &[
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::SkEd25519,
        Self::SkEcdsaP256,
        Self::RsaSha512,
        Self::RsaSha256,
    ];

    /// Those that only a host is offered whose configuration names them
    /// ([`Legacy`](super::Legacy)).
    pub const LEGACY: &'static [Self] = &[Self::RsaSha1];

    /// The name on the wire, also the signature's own.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::RsaSha512 => "rsa-sha2-512",
            Self::RsaSha256 => "rsa-sha2-256",
            Self::RsaSha1 => "ssh-rsa",
        }
    }

    /// The name that says: signed in this way with the key of a certificate.
    #[must_use]
    pub const fn certificate_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::RsaSha512 => "rsa-sha2-512-cert-v01@openssh.com",
            Self::RsaSha256 => "rsa-sha2-256-cert-v01@openssh.com",
            Self::RsaSha1 => "ssh-rsa-cert-v01@openssh.com",
        }
    }

    /// The one of this name, plain form; legacy ones are not found.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// The kind of key that signs so, as it stands at the head of a public key.
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::RsaSha512 | Self::RsaSha256 | Self::RsaSha1 => "ssh-rsa",
            _ => self.name(),
        }
    }

    /// The kind of certificate for such a key, as it stands at the head of a certificate.
    #[must_use]
    pub const fn certificate_type(self) -> &'static str {
        match self {
            Self::RsaSha512 | Self::RsaSha256 | Self::RsaSha1 => "ssh-rsa-cert-v01@openssh.com",
            _ => self.certificate_name(),
        }
    }

    /// Verifies an encoded signature (`string algorithm || string signature || ...`) over
    /// `message`. The signature must be of this very algorithm.
    ///
    /// # Errors
    /// When the key is not of the kind, the signature is of another algorithm or malformed, or it
    /// does not fit. RSA keys under 2048 bits fit nothing.
    pub fn verify(self, key: &KeyData, message: &[u8], encoded: &[u8]) -> Result<(), BadSignature> {
        if key.algorithm().as_str() != self.key_type() {
            return Err(BadSignature::WrongKey);
        }
        let mut reader = encoded;
        let signature = <Signature as ssh_encoding::Decode>::decode(&mut reader)
            .map_err(|_malformed| BadSignature::Malformed)?;
        reader
            .ensure_finished()
            .map_err(|_trailing| BadSignature::Malformed)?;
        if signature.algorithm().as_str() != self.name() {
            return Err(BadSignature::WrongAlgorithm);
        }
        match key {
            KeyData::Rsa(key) => {
                verify_rsa(key, self.rsa_parameters(), message, signature.as_bytes())
            }
            _ => key
                .verify(message, &signature)
                .map_err(|_unspecified| BadSignature::DoesNotFit),
        }
    }

    /// The hash with which our own RSA keys sign. Never SHA-1: a server does not offer that.
    pub(super) const fn rsa_hash(self) -> HashAlg {
        match self {
            Self::RsaSha512 => HashAlg::Sha512,
            _ => HashAlg::Sha256,
        }
    }

    fn rsa_parameters(self) -> &'static RsaParameters {
        match self {
            Self::RsaSha512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSignature {
    /// The key is not of the kind that signs so.
    #[error("key of another kind than the algorithm's")]
    WrongKey,
    /// The signature cannot be parsed.
    #[error("malformed signature")]
    Malformed,
    /// The signature says another algorithm than was agreed upon.
    #[error("signature of another algorithm")]
    WrongAlgorithm,
    /// It was not made with this key over this message.
    #[error("signature incorrect")]
    DoesNotFit,
}

/// RSA by the library that also takes moduli beyond 4096 bits.
fn verify_rsa(
    key: &RsaPublicKey,
    parameters: &'static RsaParameters,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let (Some(n), Some(e)) = (key.n().as_positive_bytes(), key.e().as_positive_bytes()) else {
        return Err(BadSignature::Malformed);
    };
    // Some implementations strip leading zeros from the signature.
    let missing = n
        .len()
        .checked_sub(signature.len())
        .ok_or(BadSignature::Malformed)?;
    let mut padded = vec![0; missing];
    padded.extend_from_slice(signature);
    RsaPublicKeyComponents { n, e }
        .verify(parameters, message, &padded)
        .map_err(|_unspecified| BadSignature::DoesNotFit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(
                SignatureAlgorithm::from_name(algorithm.name()),
                Some(*algorithm)
            );
        }
        assert_eq!(SignatureAlgorithm::from_name("ssh-rsa"), None);
        assert_eq!(SignatureAlgorithm::from_name("ssh-dss"), None);
    }
}
