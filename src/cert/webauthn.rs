//! Signatures that a security key makes for a browser (OpenSSH's PROTOCOL.u2f, "webauthn signatures").
//!
//! The key is an ordinary `sk-ecdsa-sha2-nistp256@openssh.com`. What it signs is not the message but a
//! text of the browser, `clientData`, that has the message in it. The text looks like JSON and is never
//! parsed as such: its beginning is fixed, and is compared byte for byte, as OpenSSH does it
//! (`webauthn_check_prepare_hash` in ssh-ecdsa-sk.c).
//!
//! ssh-key does not know the form. Here such a [`Signature`] has the algorithm [`WEBAUTHN`] and, as its
//! bytes, all that follows the algorithm's name on the wire.

use ::signature::Verifier;
use ssh_encoding::base64::{Base64Unpadded, Encoding};
use ssh_encoding::{Decode, Encode, Reader};
use ssh_key::public::{EcdsaPublicKey, SkEcdsaSha2NistP256};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Signature};

use super::signature_error::SignatureError;

/// The algorithm of such a signature, and under which name a plain key is offered to make one.
pub const WEBAUTHN: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
/// The same for the key of a certificate.
pub const WEBAUTHN_CERTIFICATE: &str = "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com";

/// Flags of an authenticator (Web Authentication, section 6.1): data of a new credential follows.
const ATTESTED_DATA: u8 = 0x40;
/// Extensions follow.
const EXTENSIONS: u8 = 0x80;

/// Whether a signature is of this form.
pub(super) fn is_one(signature: &Signature) -> bool {
    // OpenSSH takes either name as that of the form.
    matches!(
        signature.algorithm().as_str(),
        WEBAUTHN | WEBAUTHN_CERTIFICATE
    )
}

/// What follows the algorithm's name. Its size is bounded by the packet that it came in.
struct Assertion<'a> {
    /// r and s, as in RFC 5656 section 3.1.2.
    ecdsa: &'a [u8],
    flags: u8,
    counter: u32,
    origin: &'a [u8],
    client_data: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Assertion<'a> {
    /// Reads it whole: nothing may follow.
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let reader = &mut bytes;
        let assertion = Self {
            ecdsa: string(reader)?,
            flags: u8::decode(reader).ok()?,
            counter: u32::decode(reader).ok()?,
            origin: string(reader)?,
            client_data: string(reader)?,
            extensions: string(reader)?,
        };
        reader.is_finished().then_some(assertion)
    }

    /// Whether origin and flags may stand in what is signed as they stand here: an origin that ends its
    /// own quotes could bring a challenge of its own.
    fn is_consistent(&self) -> bool {
        let is_harmless = |byte: &u8| !matches!(byte, b'"' | 0);
        self.origin.iter().all(is_harmless)
            && self.flags & ATTESTED_DATA == 0
            && (self.flags & EXTENSIONS == 0) == self.extensions.is_empty()
    }

    /// How `clientData` begins if it was made for `message`. What follows (`crossOrigin`, fields of
    /// later standards) is the browser's.
    fn expected(&self, message: &[u8]) -> Vec<u8> {
        let challenge = base64_url(message);
        [
            b"{\"type\":\"webauthn.get\",\"challenge\":\"",
            challenge.as_bytes(),
            b"\",\"origin\":\"",
            self.origin,
            b"\"",
        ]
        .concat()
    }
}

/// Reads the fields that follow the algorithm's name.
///
/// `None` if there is anything but them.
pub(super) fn read(name: &str, fields: &[u8]) -> Option<Signature> {
    Assertion::read(fields)?;
    let algorithm = Algorithm::new(name).ok()?;
    Signature::new(algorithm, fields).ok()
}

/// The flags that the key signed.
pub(super) fn flags(signature: &Signature) -> Option<u8> {
    Some(Assertion::read(signature.as_bytes())?.flags)
}

/// Verifies a signature of this form over `message`.
pub(super) fn verify(
    key: &SkEcdsaSha2NistP256,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    let assertion = Assertion::read(signature.as_bytes())
        .filter(Assertion::is_consistent)
        .ok_or(SignatureError::Wrong)?;
    if !assertion
        .client_data
        .starts_with(&assertion.expected(message))
    {
        return Err(SignatureError::ClientData);
    }
    let signed = [
        HashAlg::Sha256
            .digest(key.application().as_bytes())
            .as_slice(),
        &[assertion.flags],
        &assertion.counter.to_be_bytes(),
        assertion.extensions,
        &HashAlg::Sha256.digest(assertion.client_data),
    ]
    .concat();
    let curve = EcdsaCurve::NistP256;
    Signature::new(Algorithm::Ecdsa { curve }, assertion.ecdsa)
        .ok()
        .and_then(|ecdsa| {
            let key = EcdsaPublicKey::NistP256(*key.ec_point());
            key.verify(&signed, &ecdsa).ok()
        })
        .ok_or(SignatureError::Wrong)
}

/// An encoded signature of a certificate as ssh-key can read it: as one string after the algorithm's
/// name. `None` if it is of another form.
pub(super) fn fold(mut encoded: &[u8]) -> Option<Vec<u8>> {
    let reader = &mut encoded;
    let name = string(reader)?;
    // OpenSSH's CASignatureAlgorithms has this name alone.
    if name != WEBAUTHN.as_bytes() {
        return None;
    }
    let mut folded = Vec::new();
    name.encode(&mut folded).ok()?;
    encoded.encode(&mut folded).ok()?;
    Some(folded)
}

/// The encoding on the wire of a signature of this form.
pub(super) fn encode(signature: &Signature) -> ssh_encoding::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    signature.algorithm().encode(&mut encoded)?;
    encoded.extend_from_slice(signature.as_bytes());
    Ok(encoded)
}

/// Takes a string off the beginning without copying it.
fn string<'a>(reader: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::decode(reader).ok()?).ok()?;
    let (string, rest) = reader.split_at_checked(length)?;
    *reader = rest;
    Some(string)
}

/// RFC 4648 section 5, without padding.
fn base64_url(bytes: &[u8]) -> String {
    Base64Unpadded::encode_string(bytes)
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect()
}
