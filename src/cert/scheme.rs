//! Public key algorithm names: which key each one wants, and how it signs.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Signature};

use super::{PresentedKey, WEBAUTHN, WEBAUTHN_CERTIFICATE, is_made_by, read_signature};

/// How a request's algorithm name signs. The names of browsers' signatures are other names for a security
/// key's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The algorithm of the signature: for RSA with its hash.
    signature: Algorithm,
    is_certificate: bool,
}

impl Scheme {
    /// `None` for what is not accepted: SHA-1, DSA, unknown names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let (signature, is_certificate) = match Algorithm::new(name) {
            _ if name == WEBAUTHN => (Algorithm::SkEcdsaSha2NistP256, false),
            _ if name == WEBAUTHN_CERTIFICATE => (Algorithm::SkEcdsaSha2NistP256, true),
            Ok(plain) if !matches!(plain, Algorithm::Other(_)) => (plain, false),
            _ => (Algorithm::new_certificate(name).ok()?, true),
        };
        match signature {
            Algorithm::Dsa | Algorithm::Rsa { hash: None } | Algorithm::Other(_) => None,
            signature => Some(Self {
                signature,
                is_certificate,
            }),
        }
    }

    /// Whether the name announces a key like this one.
    #[must_use]
    pub fn fits(&self, key: &PresentedKey) -> bool {
        let is_same_type = match (&self.signature, key.key_data()) {
            (Algorithm::Rsa { .. }, KeyData::Rsa(_)) => true,
            (algorithm, key) => *algorithm == key.algorithm(),
        };
        is_same_type && self.is_certificate == key.certificate().is_some()
    }

    /// Reads a signature blob, which must be of this very algorithm and have nothing after it.
    #[must_use]
    pub fn read_signature(&self, blob: &[u8]) -> Option<Signature> {
        read_signature(blob).filter(|signature| is_made_by(signature, &self.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_unknown_algorithms_are_not_accepted() {
        for name in [
            "ssh-rsa",
            "ssh-rsa-cert-v01@openssh.com",
            "ssh-dss",
            "ssh-dss-cert-v01@openssh.com",
            "x@example.com",
            "x-cert-v01@example.com",
            "",
        ] {
            assert_eq!(Scheme::from_name(name), None, "{name}");
        }
    }
}
