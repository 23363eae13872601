//! Signatures: the right algorithm for the key first, then the mathematics.

use ::signature::Verifier;
use ssh_encoding::{Decode as _, Reader as _};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Signature};

use super::signature_error::SignatureError;
use super::{shown, webauthn};

/// Reads an encoded signature (RFC 4253 section 6.6, PROTOCOL.u2f). Nothing may follow it. The ones that
/// security keys make for browsers have all their fields as their bytes.
///
/// `None` if it is malformed.
#[must_use]
pub fn read_signature(encoded: &[u8]) -> Option<Signature> {
    let mut fields = encoded;
    let name = String::decode(&mut fields).ok()?;
    if matches!(&*name, webauthn::WEBAUTHN | webauthn::WEBAUTHN_CERTIFICATE) {
        return webauthn::read(&name, fields);
    }
    let reader = &mut &*encoded;
    let signature = Signature::decode(reader).ok()?;
    reader.is_finished().then_some(signature)
}

/// Whether a key of this algorithm makes such a signature. The keys `sk-ecdsa-sha2-nistp256@openssh.com`
/// have two forms of them, and as in OpenSSH either will do, whatever the request names.
#[must_use]
pub fn is_made_by(signature: &Signature, key: &Algorithm) -> bool {
    signature.algorithm() == *key
        || (*key == Algorithm::SkEcdsaSha2NistP256 && webauthn::is_one(signature))
}

/// The flags that a security key has signed (PROTOCOL.u2f), such as whether it was touched.
///
/// `None` for signatures of other keys.
#[must_use]
pub fn security_key_flags(signature: &Signature) -> Option<u8> {
    match signature.algorithm() {
        // They end in the flags and a counter of four bytes.
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
            signature.as_bytes().iter().rev().nth(4).copied()
        }
        _ if webauthn::is_one(signature) => webauthn::flags(signature),
        _ => None,
    }
}

/// Verifies `signature` over `message`; its algorithm must be one that the key makes today.
///
/// # Errors
/// SHA-1, an algorithm of another key type, or a signature that does not verify.
pub fn check_signature(
    key: &KeyData,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    let found = signature.algorithm();
    match (key, &found) {
        (KeyData::Rsa(_), Algorithm::Rsa { hash: None }) => return Err(SignatureError::Sha1),
        (KeyData::Rsa(_), Algorithm::Rsa { hash: Some(_) }) => {}
        (KeyData::SkEcdsaSha2NistP256(key), _) if webauthn::is_one(signature) => {
            return webauthn::verify(key, message, signature);
        }
        // ssh-key does not compare the algorithm of security keys' signatures itself.
        (
            KeyData::Ed25519(_)
            | KeyData::Ecdsa(_)
            | KeyData::SkEd25519(_)
            | KeyData::SkEcdsaSha2NistP256(_),
            found,
        ) if *found == key.algorithm() => {}
        _ => {
            return Err(SignatureError::Algorithm {
                key: shown::text(key.algorithm().as_str()),
                found: shown::text(found.as_str()),
            });
        }
    }
    let padded = pad_rsa(key, signature);
    let signature = padded.as_ref().unwrap_or(signature);
    key.verify(message, signature)
        .map_err(|_opaque| SignatureError::Wrong)
}

/// Some signers drop the leading zeros of an RSA signature; OpenSSH puts them back, and so do we.
fn pad_rsa(key: &KeyData, signature: &Signature) -> Option<Signature> {
    let size = super::rsa_bits(key)?.div_ceil(8);
    let missing = size.checked_sub(signature.as_bytes().len())?;
    if missing == 0 {
        return None;
    }
    let padded = [vec![0; missing].as_slice(), signature.as_bytes()].concat();
    Signature::new(signature.algorithm(), padded).ok()
}

#[cfg(test)]
mod tests {
    use ::signature::Signer as _;

    use super::*;
    use crate::cert::testing::{ed25519, keys};

    #[test]
    fn rsa_signatures_without_their_leading_zeros_verify() {
        let rsa = &keys()[4];
        let key = rsa.public_key().key_data();
        let (message, signature) = (0_u32..)
            .map(u32::to_be_bytes)
            .map(|message| (message, rsa.key_data().try_sign(&message).unwrap()))
            .find(|(_, signature): &(_, Signature)| signature.as_bytes()[0] == 0)
            .unwrap();
        let short = Signature::new(signature.algorithm(), &signature.as_bytes()[1..]).unwrap();
        assert_eq!(check_signature(key, &message, &short), Ok(()));
        assert_eq!(
            check_signature(key, b"another", &short),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn the_algorithm_must_be_the_keys() {
        let (key, other) = (ed25519(), &keys()[1]);
        let signature = other.key_data().try_sign(b"x").unwrap();
        assert_eq!(
            check_signature(key.public_key().key_data(), b"x", &signature),
            Err(SignatureError::Algorithm {
                key: "ssh-ed25519".to_owned(),
                found: "ecdsa-sha2-nistp256".to_owned(),
            })
        );
    }
}
