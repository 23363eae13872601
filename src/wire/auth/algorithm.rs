//! Public key algorithm names: which key each one wants, and how it signs.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, HashAlg, Signature};

use crate::cert::{PresentedKey, WEBAUTHN, WEBAUTHN_CERTIFICATE, is_made_by, read_signature};
use crate::wire::signature::SignatureAlgorithm;

/// The signature algorithms that users' keys may use, for `server-sig-algs` (RFC 8308 section 3.1).
pub const SIGNATURE_ALGORITHMS: [&str; 9] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    WEBAUTHN,
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// The name under which a certificate is presented to a server.
///
/// RSA certificates have two (RFC 8332): SHA-512 unless the server's `server-sig-algs` has SHA-256 only.
/// Where SHA-1 may be used (`allows_sha1`), a server that says nothing of either is old enough to need it.
/// Those of ECDSA security keys have two as well, and as OpenSSH's server takes either form of signature
/// under either, the one that all its releases know is preferred.
#[must_use]
pub fn certificate_algorithms(
    cert: &Certificate,
    server_sig_algs: Option<&[String]>,
    allows_sha1: bool,
) -> String {
    let lists = |name: &str| {
        server_sig_algs.is_some_and(|algorithms| {
            algorithms
                .iter()
                .any(|a| a == name || a.strip_suffix("-cert-v01@openssh.com").unwrap_or(a) == name)
        })
    };
    match cert.algorithm() {
        Algorithm::Rsa { .. } => {
            let hash = match (lists("rsa-sha2-512"), lists("rsa-sha2-256")) {
                (false, true) => HashAlg::Sha256,
                (false, false) if allows_sha1 => {
                    return SignatureAlgorithm::RsaSha1.certificate_name().to_owned();
                }
                _ => HashAlg::Sha512,
            };
            Algorithm::Rsa { hash: Some(hash) }.to_certificate_type()
        }
        Algorithm::SkEcdsaSha2NistP256 => {
            let own = Algorithm::SkEcdsaSha2NistP256.to_certificate_type();
            let lists_own = lists(Algorithm::SkEcdsaSha2NistP256.as_str()) || lists(&own);
            match lists_own || !(lists(WEBAUTHN) || lists(WEBAUTHN_CERTIFICATE)) {
                true => own,
                false => WEBAUTHN_CERTIFICATE.to_owned(),
            }
        }
        algorithm => algorithm.to_certificate_type(),
    }
}

/// How a request's algorithm name signs. The names of browsers' signatures are other names for a security
/// key's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    /// The algorithm of the signature: for RSA with its hash.
    signature: Algorithm,
    is_certificate: bool,
}

impl Scheme {
    /// `None` for what is not accepted: SHA-1, DSA, unknown names.
    pub(super) fn from_name(name: &str) -> Option<Self> {
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
    pub(super) fn fits(&self, key: &PresentedKey) -> bool {
        let is_same_type = match (&self.signature, key.key_data()) {
            (Algorithm::Rsa { .. }, KeyData::Rsa(_)) => true,
            (algorithm, key) => *algorithm == key.algorithm(),
        };
        is_same_type && self.is_certificate == key.certificate().is_some()
    }

    /// Reads a signature blob, which must be of this very algorithm and have nothing after it.
    pub(super) fn read_signature(&self, blob: &[u8]) -> Option<Signature> {
        read_signature(blob).filter(|signature| is_made_by(signature, &self.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_announced_algorithm_is_accepted_plain_and_certified() {
        for name in SIGNATURE_ALGORITHMS {
            assert!(Scheme::from_name(name).is_some(), "{name}");
            let certified = Algorithm::new(name).unwrap().to_certificate_type();
            assert!(Scheme::from_name(&certified).is_some(), "{certified}");
        }
    }

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
