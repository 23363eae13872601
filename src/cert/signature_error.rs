//! Why signatures do not count.

use thiserror::Error;

/// Why a signature does not count.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// `ssh-rsa`, which signs with SHA-1 (RFC 8332 replaces it).
    #[error("the RSA signature uses SHA-1 (ssh-rsa), rsa-sha2-256 or rsa-sha2-512 is required")]
    Sha1,
    /// The signature's algorithm is not the one of the key.
    #[error("the signature's algorithm {found} does not fit the key, which is {key}")]
    Algorithm {
        /// The key's algorithm.
        key: String,
        /// The signature's algorithm.
        found: String,
    },
    /// A browser's signature (`webauthn-sk-ecdsa-sha2-nistp256@openssh.com`) for something else.
    #[error("the browser's signature was made for something else")]
    ClientData,
    /// It does not verify.
    #[error("the signature is wrong")]
    Wrong,
}
