//! A public key as a peer presents it: a plain key or a certificate.

use std::borrow::Cow;

use ssh_encoding::base64::{Base64, Encoding as _};
use ssh_encoding::{Decode, Encode, Reader};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, Fingerprint, HashAlg, PublicKey};
use thiserror::Error;

use super::{shown, webauthn};

/// Smallest RSA modulus that is accepted, in bits (sshd's `RequiredRSASize` may only be higher).
pub const MIN_RSA_BITS: usize = 2048;

/// Why a key cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The bytes are not the encoding of a key.
    #[error("the public key is malformed")]
    Malformed(#[source] ssh_key::Error),
    /// A well-formed name, but not one that is accepted here (DSA, unknown algorithms).
    #[error("the public key algorithm {0} is not supported")]
    Unsupported(String),
    /// A certificate that a CA key of such a kind has signed.
    #[error("the certificate's CA key is of an algorithm that is not supported ({0})")]
    UnsupportedCa(String),
    /// A certificate whose signature key is itself a certificate. PROTOCOL.certkeys forbids it;
    /// reading on could take the inner certificate's signer for the CA (CVE-2025-49825).
    #[error("the certificate's signature key is itself a certificate ({0})")]
    NestedCertificate(String),
}

impl KeyError {
    /// What to do about a kind of key that is not known here, newer ones among them.
    pub const UNKNOWN_KIND_HINT: &str = "rproxy does not know this kind of key: \
         use an Ed25519, ECDSA, RSA or security key (ssh-keygen -t ed25519), and have that certified";

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "make a new key with: ssh-keygen -t ed25519",
            Self::Unsupported(_) => Self::UNKNOWN_KIND_HINT,
            Self::UnsupportedCa(_) => {
                "rproxy does not know this kind of CA key: sign with one that is Ed25519, ECDSA, RSA or a \
                 security key (ssh-keygen -t ed25519)"
            }
            Self::NestedCertificate(_) => {
                "sign with the CA's plain key: a CA key must not be a certificate"
            }
        }
    }
}

/// A public key blob, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedKey {
    /// A key alone.
    Plain(PublicKey),
    /// A key in a certificate; nothing in it has been checked yet.
    Certificate(Box<Certificate>),
}

impl PresentedKey {
    /// Reads the blob of RFC 4253 section 6.6 or of PROTOCOL.certkeys. The encoding must be the only
    /// possible one: no trailing bytes anywhere, options in order, canonical integers.
    pub fn decode(blob: &[u8]) -> Result<Self, KeyError> {
        let name = algorithm_name(blob)?;
        let decoded = match SubjectFields::of_certificate(&name) {
            Some(subject) => {
                // Before the real decoder, which would recurse into nested certificates.
                let signature = refuse_nested(blob, subject)?;
                Certificate::from_bytes(&readable(blob, signature)?)
                    .map(|cert| Self::Certificate(Box::new(cert)))
            }
            None if is_plain(&name) => PublicKey::from_bytes(blob).map(Self::Plain),
            None => return Err(KeyError::Unsupported(shown::text(&name))),
        }
        .map_err(KeyError::Malformed)?;
        match decoded.encode() {
            Ok(encoded) if encoded == blob => Ok(decoded),
            _ => Err(KeyError::Malformed(ssh_key::Error::FormatEncoding)),
        }
    }

    /// Reads a line of a `.pub` file: the algorithm's name, the encoded key, a comment. The comment is
    /// left out.
    pub fn from_line(line: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(ssh_key::Error::FormatEncoding);
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
            return Err(malformed());
        };
        let blob = Base64::decode_vec(encoded).ok().ok_or_else(malformed)?;
        if algorithm_name(&blob)? != name {
            return Err(malformed());
        }
        Self::decode(&blob)
    }

    /// The key itself, without the certificate around it.
    #[must_use]
    pub fn key_data(&self) -> &KeyData {
        match self {
            Self::Plain(key) => key.key_data(),
            Self::Certificate(cert) => cert.public_key(),
        }
    }

    /// SHA-256 of the plain key, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key_data().fingerprint(HashAlg::Sha256)
    }

    /// The certificate, if it is one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Plain(_) => None,
            Self::Certificate(cert) => Some(cert),
        }
    }

    fn encode(&self) -> ssh_key::Result<Vec<u8>> {
        match self {
            Self::Plain(key) => key.to_bytes(),
            Self::Certificate(cert) => certificate_blob(cert),
        }
    }
}

/// The certificate as it goes over the wire. One that was decoded encodes to the very bytes that its
/// CA signed.
///
/// # Errors
/// It is one that cannot be encoded, which no decoded one is.
pub fn certificate_blob(cert: &Certificate) -> ssh_key::Result<Vec<u8>> {
    if !webauthn::is_one(cert.signature()) {
        return cert.to_bytes();
    }
    let mut blob = signed_part(cert)?;
    let signature = webauthn::encode(cert.signature())?;
    signature.encode(&mut blob)?;
    Ok(blob)
}

/// Bits of an RSA key's modulus; `None` for other keys.
#[must_use]
pub fn rsa_bits(key: &KeyData) -> Option<usize> {
    let modulus = key.rsa()?.n().as_positive_bytes()?;
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    Some((modulus.len() * 8).saturating_sub(leading as usize))
}

/// The bits of an RSA key that is too short to be accepted ([`MIN_RSA_BITS`]); `None` for all others.
#[must_use]
pub fn weak_rsa_bits(key: &KeyData) -> Option<usize> {
    rsa_bits(key).filter(|bits| *bits < MIN_RSA_BITS)
}

/// Whether an algorithm name is one of a certificate that is read here.
pub(super) fn is_certificate(name: &str) -> bool {
    SubjectFields::of_certificate(name).is_some()
}

/// Whether an algorithm name is one of a plain key that is read here.
pub(super) fn is_plain(name: &str) -> bool {
    matches!(
        name,
        "ssh-ed25519"
            | "ssh-rsa"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521"
            | "sk-ssh-ed25519@openssh.com"
            | "sk-ecdsa-sha2-nistp256@openssh.com"
    )
}

/// How many strings the public key takes between a certificate's nonce and its serial.
#[derive(Clone, Copy)]
struct SubjectFields(usize);

impl SubjectFields {
    fn of_certificate(name: &str) -> Option<Self> {
        match name {
            "ssh-ed25519-cert-v01@openssh.com" => Some(Self(1)),
            "ssh-rsa-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp256-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp384-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp521-cert-v01@openssh.com"
            | "sk-ssh-ed25519-cert-v01@openssh.com" => Some(Self(2)),
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => Some(Self(3)),
            _ => None,
        }
    }
}

fn algorithm_name(blob: &[u8]) -> Result<String, KeyError> {
    let reader = &mut &*blob;
    String::decode(reader).map_err(malformed)
}

/// Walks the fields of PROTOCOL.certkeys up to the signature key and looks at its algorithm name.
/// Gives back what follows that key: the signature.
fn refuse_nested(blob: &[u8], subject: SubjectFields) -> Result<&[u8], KeyError> {
    let (name, signature) = signature_key_name(blob, subject).map_err(malformed)?;
    if name.contains("-cert-v0") {
        Err(KeyError::NestedCertificate(shown::text(&name)))
    } else if is_plain(&name) {
        Ok(signature)
    } else {
        Err(KeyError::UnsupportedCa(shown::text(&name)))
    }
}

/// The certificate in the form that the real decoder knows; `signature` is how it ends.
fn readable<'a>(blob: &'a [u8], signature: &[u8]) -> Result<Cow<'a, [u8]>, KeyError> {
    let reader = &mut &*signature;
    let encoded = Vec::<u8>::decode(reader).map_err(malformed)?;
    let Some(folded) = webauthn::fold(&encoded) else {
        return Ok(Cow::Borrowed(blob));
    };
    let end = blob.len().saturating_sub(signature.len());
    let mut readable = blob.get(..end).unwrap_or_default().to_vec();
    folded.encode(&mut readable).map_err(malformed)?;
    // What follows stays there, for the decoder to refuse.
    readable.extend_from_slice(reader);
    Ok(Cow::Owned(readable))
}

fn signature_key_name(
    blob: &[u8],
    subject: SubjectFields,
) -> ssh_encoding::Result<(String, &[u8])> {
    const ALGORITHM_AND_NONCE: usize = 2;
    let reader = &mut &*blob;
    for _ in 0..ALGORITHM_AND_NONCE + subject.0 {
        skip_string(reader)?;
    }
    u64::decode(reader)?; // serial
    u32::decode(reader)?; // type
    skip_string(reader)?; // key id
    skip_string(reader)?; // valid principals
    u64::decode(reader)?; // valid after
    u64::decode(reader)?; // valid before
    skip_string(reader)?; // critical options
    skip_string(reader)?; // extensions
    skip_string(reader)?; // reserved
    let name = reader.read_prefixed(String::decode)?;
    Ok((name, reader))
}

fn skip_string(reader: &mut &[u8]) -> ssh_encoding::Result<()> {
    reader.read_prefixed(|_| Ok(()))
}

fn malformed(error: ssh_encoding::Error) -> KeyError {
    KeyError::Malformed(error.into())
}

/// The part of a certificate that the CA signs: everything before the signature field.
pub(super) fn signed_part(cert: &Certificate) -> ssh_key::Result<Vec<u8>> {
    let mut bytes = cert.to_bytes()?;
    let signature = cert.signature().encoded_len_prefixed()?;
    bytes.truncate(bytes.len().saturating_sub(signature));
    Ok(bytes)
}
