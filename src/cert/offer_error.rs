//! Why an offered key or its signature cannot be used.

use thiserror::Error;

use super::{KeyError, MIN_RSA_BITS, SignatureError};
use crate::model::text::Printable;

/// Longest name of a client that a message repeats, in bytes.
const MAX_SHOWN: usize = 128;

/// Why an offer cannot be used, whatever key it is of.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OfferError {
    /// Malformed, nested or unsupported.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signature algorithm that is not accepted, such as `ssh-rsa` (SHA-1).
    #[error("the public key algorithm \"{}\" is not accepted", Printable(.0).within(MAX_SHOWN))]
    Algorithm(String),
    /// The request names another algorithm than the key's.
    #[error("the public key is not of the announced algorithm {0}")]
    Mismatch(String),
    /// The client signed for another server: there is a machine in the middle.
    #[error("the request is bound to another host key than ours")]
    OtherHostKey,
    /// A signature that does not parse or is of another algorithm than announced.
    #[error("the signature is malformed or not of the announced algorithm")]
    MalformedSignature,
    /// A signature that does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// An RSA key that is too short: its bits.
    #[error(
        "the RSA key has {0} bits, at least {min} are required",
        min = MIN_RSA_BITS
    )]
    ShortKey(usize),
    /// The security key was not touched.
    #[error(
        "the security key signed without a touch, and no certificate allows that: sshd would refuse it too"
    )]
    NoTouch,
    /// The certificate wants the security key's PIN or biometrics, and they were not used.
    #[error("the certificate requires user verification by the security key")]
    NotVerified,
}

impl OfferError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key(error) => error.hint(),
            Self::Algorithm(name) if SHA1.contains(&name.as_str()) => {
                "update the ssh client: its RSA keys must sign with SHA-2 (rsa-sha2-256 or rsa-sha2-512)"
            }
            Self::Algorithm(_) => KeyError::UNKNOWN_KIND_HINT,
            Self::ShortKey(_) => {
                "on your machine, make a new key: ssh-keygen -t ed25519; then get a certificate for it; on the proxy: rproxy auth sign --user"
            }
            Self::NoTouch => {
                "the key was made with `ssh-keygen -O no-touch-required`: make one without, and have that certified; or have the certificate say no-touch-required too"
            }
            Self::NotVerified => {
                "give the security key its PIN or fingerprint: ssh-keygen -O verify-required made it so"
            }
            Self::OtherHostKey => {
                "somebody may be between you and the proxy: tell the people who run it"
            }
            Self::Mismatch(_) | Self::MalformedSignature | Self::Signature(_) => {
                "the ssh client or the agent is broken: try another; or on your machine, make a new key: ssh-keygen -t ed25519"
            }
        }
    }
}

/// Names under which RSA keys sign with SHA-1.
const SHA1: [&str; 2] = ["ssh-rsa", "ssh-rsa-cert-v01@openssh.com"];
