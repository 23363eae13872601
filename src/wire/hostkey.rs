//! Host keys: what a server offers and signs with, what a client reads and verifies.
//!
//! Whether a key or certificate is the expected one is not decided here.

use std::fmt;

use signature::Signer;
use ssh_encoding::{Decode, Encode, Reader};
use ssh_key::private::KeypairData;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, PrivateKey};

use super::error::{Error, Misuse, Violation};
use super::signature::SignatureAlgorithm;

/// A private host key, with a certificate or without.
///
/// With a certificate only the certificate is offered, so that no client learns to trust the plain
/// key behind it. A server that wants both takes the key twice, once without its certificate.
#[derive(Clone)]
pub struct HostKey {
    key: PrivateKey,
    certified: bool,
    /// Encoded public key or certificate, as it goes over the wire.
    blob: Vec<u8>,
}

impl HostKey {
    /// Takes a key, and the certificate for it if there is one.
    ///
    /// # Errors
    /// When the key is encrypted, is of a kind that cannot sign here, or is not the certificate's.
    pub fn new(key: PrivateKey, certificate: Option<Certificate>) -> Result<Self, Error> {
        if key.is_encrypted() {
            return Err(Misuse::HostKey("encrypted").into());
        }
        match key.key_data() {
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) | KeypairData::Rsa(_) => {}
            _ => return Err(Misuse::HostKey("of an unsupported kind").into()),
        }
        let malformed = |_error| Error::from(Misuse::HostKey("malformed"));
        let blob = match &certificate {
            None => key.public_key().to_bytes().map_err(malformed)?,
            Some(certificate) if certificate.public_key() == key.public_key().key_data() => {
                certificate.to_bytes().map_err(malformed)?
            }
            Some(_) => return Err(Misuse::HostKey("not the certificate's").into()),
        };
        Ok(Self {
            key,
            certified: certificate.is_some(),
            blob,
        })
    }

    /// The encoded public key or certificate, as it goes over the wire.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What it can be offered as.
    pub(super) fn algorithms(&self) -> impl Iterator<Item = HostKeyAlgorithm> {
        let key_type = self.key.algorithm();
        let certificate = self.certified;
        SignatureAlgorithm::ALL
            .iter()
            .filter(move |one| one.key_type() == key_type_name(&key_type))
            .map(move |one| HostKeyAlgorithm {
                signature: *one,
                certificate,
            })
    }

    /// Signs; the result is encoded as in a key exchange reply.
    pub(super) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let signed = match self.key.key_data() {
            KeypairData::Rsa(key) => (key, Some(algorithm.rsa_hash())).try_sign(message),
            other => other.try_sign(message),
        };
        signed
            .ok()
            .and_then(|signature| signature.encode_vec().ok())
            .ok_or(Error::Crypto("signing with the host key"))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey")
            .field("algorithm", &self.key.algorithm().as_str())
            .field("certified", &self.certified)
            .finish_non_exhaustive()
    }
}

/// The name at the head of such a public key.
fn key_type_name(algorithm: &Algorithm) -> &str {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa",
        other => other.as_str(),
    }
}

/// A host key algorithm: a way to sign, with a plain key or with a certificate's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostKeyAlgorithm {
    /// How the exchange hash is signed.
    pub signature: SignatureAlgorithm,
    /// Whether a certificate is presented.
    pub certificate: bool,
}

impl HostKeyAlgorithm {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.certificate {
            self.signature.certificate_name()
        } else {
            self.signature.name()
        }
    }

    /// The one of this name, legacy ones included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all()
            .chain(Self::both_forms(SignatureAlgorithm::LEGACY))
            .find(|one| one.name() == name)
    }

    /// Every one that is not legacy, certificates first, so that a host that has both shows its
    /// certificate.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::both_forms(SignatureAlgorithm::ALL)
    }

    /// These ways to sign with a certificate, then with a plain key.
    pub(super) fn both_forms(ways: &[SignatureAlgorithm]) -> impl Iterator<Item = Self> {
        [true, false].into_iter().flat_map(move |certificate| {
            ways.iter().map(move |one| Self {
                signature: *one,
                certificate,
            })
        })
    }

    /// The key that signs, out of a presented key or certificate. Of a certificate only what comes
    /// before that key is read: the rest is for the code that decides about certificates.
    pub(super) fn signing_key(self, blob: &[u8]) -> Result<KeyData, Error> {
        self.decode(blob)
            .ok_or_else(|| Violation::HostKey("not a key of the agreed kind").into())
    }

    fn decode(self, blob: &[u8]) -> Option<KeyData> {
        let mut reader = blob;
        let kind = String::decode(&mut reader).ok()?;
        let algorithm = Algorithm::new(self.signature.key_type()).ok()?;
        if self.certificate {
            (kind == self.signature.certificate_type()).then_some(())?;
            let _nonce = Vec::<u8>::decode(&mut reader).ok()?;
            KeyData::decode_as(&mut reader, algorithm).ok()
        } else {
            (kind == self.signature.key_type()).then_some(())?;
            let key = KeyData::decode_as(&mut reader, algorithm).ok()?;
            reader.finish(key).ok()
        }
    }
}
