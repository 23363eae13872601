//! Public key algorithm names: those that are announced, and the one that a certificate is presented under.

use ssh_key::{Algorithm, Certificate, HashAlg};

use crate::cert::{WEBAUTHN, WEBAUTHN_CERTIFICATE};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::Scheme;

    #[test]
    fn every_announced_algorithm_is_accepted_plain_and_certified() {
        for name in SIGNATURE_ALGORITHMS {
            assert!(Scheme::from_name(name).is_some(), "{name}");
            let certified = Algorithm::new(name).unwrap().to_certificate_type();
            assert!(Scheme::from_name(&certified).is_some(), "{certified}");
        }
    }
}
