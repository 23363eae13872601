//! Proofs that a client holds a key: the request that is signed (RFC 4252 section 7, OpenSSH's PROTOCOL
//! section 3.1 for the variant that is bound to a host key).

//!
//! The invariant: a [`VerifiedRequest`] carries a signature by its key over its session, user name,
//! algorithm and host key, and [`SignedRequest::verify`] is the only way to one. It is pure, and the same
//! for the process that speaks SSH and for the one that decides about people. Whether the key counts, and
//! whether the session and the host key are the right ones, is for the caller.

use ssh_key::Signature;
use ssh_key::public::KeyData;

use super::{OfferError, PresentedKey, Scheme, check_signature, security_key_flags, weak_rsa_bits};

/// The message number of a request (RFC 4252 section 6).
pub const REQUEST: u8 = 50;
/// The service that follows authentication (RFC 4254 section 1).
pub const CONNECTION: &str = "ssh-connection";
/// The method, by RFC 4252 section 7.
pub const PUBLICKEY: &str = "publickey";
/// The method whose request names the server's host key.
pub const HOST_BOUND: &str = "publickey-hostbound-v00@openssh.com";

/// The start of a public key request, up to the signature: what is sent in a query (`signed` false),
/// and what is signed after the session id (`signed` true; RFC 4252 section 7, PROTOCOL section 3.1).
#[must_use]
pub fn public_key_request(
    user: &str,
    algorithm: &str,
    blob: &[u8],
    host_key: Option<&[u8]>,
    signed: bool,
) -> Vec<u8> {
    let mut out = vec![REQUEST];
    put(&mut out, user.as_bytes());
    put(&mut out, CONNECTION.as_bytes());
    let method = if host_key.is_some() {
        HOST_BOUND
    } else {
        PUBLICKEY
    };
    put(&mut out, method.as_bytes());
    out.push(u8::from(signed));
    put(&mut out, algorithm.as_bytes());
    put(&mut out, blob);
    if let Some(host_key) = host_key {
        put(&mut out, host_key);
    }
    out
}

/// What a signature covers: the session id, then the request.
#[must_use]
pub fn signed_data(session_id: &[u8], request: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + session_id.len() + request.len());
    put(&mut out, session_id);
    out.extend_from_slice(request);
    out
}

/// A signed request for `publickey` authentication to the service `ssh-connection`, as a client sent it.
/// Nothing about it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The session identifier of the transport (RFC 4253 section 7.2).
    pub session: Vec<u8>,
    /// The user name.
    pub user: String,
    /// The public key algorithm that the request names.
    pub algorithm: String,
    /// The key or certificate, encoded.
    pub key: Vec<u8>,
    /// The host key that the client believes to talk to, encoded; `None` for a request that is not bound
    /// to one.
    pub host_key: Option<Vec<u8>>,
    /// The signature, encoded.
    pub signature: Vec<u8>,
}

impl SignedRequest {
    /// Verifies the signature over everything else in the request.
    ///
    /// # Errors
    /// An algorithm that is not accepted, a key that is malformed or not of this algorithm, an RSA key
    /// that is too short, a signature that is malformed or does not verify, or a security key that was
    /// not touched.
    pub fn verify(self) -> Result<VerifiedRequest, OfferError> {
        let (scheme, key) = read_offer(&self.algorithm, &self.key)?;
        // It would fit no signature, which says less.
        if let Some(bits) = weak_rsa_bits(key.key_data()) {
            return Err(OfferError::ShortKey(bits));
        }
        let signature = scheme
            .read_signature(&self.signature)
            .ok_or(OfferError::MalformedSignature)?;
        // Rebuilt from what was parsed: what is judged is what was signed.
        let request = public_key_request(
            &self.user,
            &self.algorithm,
            &self.key,
            self.host_key.as_deref(),
            true,
        );
        let data = signed_data(&self.session, &request);
        check_signature(key.key_data(), &data, &signature)?;
        let presence = check_presence(&key, &signature)?;
        Ok(VerifiedRequest {
            request: self,
            key,
            presence,
        })
    }
}

/// A request whose signature verifies. Made by [`SignedRequest::verify`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRequest {
    request: SignedRequest,
    key: PresentedKey,
    presence: Option<Presence>,
}

impl VerifiedRequest {
    /// The request.
    #[must_use]
    pub fn request(&self) -> &SignedRequest {
        &self.request
    }

    /// The key that has signed. Nothing about a certificate has been checked.
    #[must_use]
    pub fn key(&self) -> &PresentedKey {
        &self.key
    }

    /// How its holder was present when a security key signed; `None` for other keys.
    #[must_use]
    pub fn presence(&self) -> Option<Presence> {
        self.presence
    }
}

/// What a security key says about its holder in a signature (PROTOCOL.u2f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The key was touched.
    pub is_touched: bool,
    /// The key has checked a PIN or biometrics.
    pub is_user_verified: bool,
}

/// Decodes the key of a request that names this algorithm, signed or not.
///
/// # Errors
/// The algorithm is not accepted, the key is malformed, or it is of another algorithm.
pub fn read_offer(algorithm: &str, blob: &[u8]) -> Result<(Scheme, PresentedKey), OfferError> {
    let Some(scheme) = Scheme::from_name(algorithm) else {
        return Err(OfferError::Algorithm(algorithm.to_owned()));
    };
    let key = PresentedKey::decode(blob)?;
    if !scheme.fits(&key) {
        return Err(OfferError::Mismatch(algorithm.to_owned()));
    }
    Ok((scheme, key))
}

/// Touched unless the CA waived it, verified if the CA wants it.
fn check_presence(
    key: &PresentedKey,
    signature: &Signature,
) -> Result<Option<Presence>, OfferError> {
    const USER_PRESENT: u8 = 0x01;
    const USER_VERIFIED: u8 = 0x04;
    if !matches!(
        key.key_data(),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    ) {
        return Ok(None);
    }
    let flags = security_key_flags(signature).unwrap_or(0);
    let presence = Presence {
        is_touched: flags & USER_PRESENT != 0,
        is_user_verified: flags & USER_VERIFIED != 0,
    };
    let cert = key.certificate();
    let is_touch_waived = cert.is_some_and(|c| c.extensions().contains_key("no-touch-required"));
    let is_verification_required =
        cert.is_some_and(|c| c.critical_options().contains_key("verify-required"));
    if !presence.is_touched && !is_touch_waived {
        return Err(OfferError::NoTouch);
    }
    if !presence.is_user_verified && is_verification_required {
        return Err(OfferError::NotVerified);
    }
    Ok(Some(presence))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever fits into a packet is shorter.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use ::signature::Signer as _;
    use ssh_encoding::Encode as _;
    use ssh_key::PrivateKey;

    use super::*;
    use crate::cert::SignatureError;
    use crate::cert::testing::{CertSpec, ed25519, p256};

    fn signed(key: &PrivateKey, blob: Vec<u8>, algorithm: &str) -> SignedRequest {
        let mut request = SignedRequest {
            session: vec![5; 32],
            user: "deploy".to_owned(),
            algorithm: algorithm.to_owned(),
            key: blob,
            host_key: Some(vec![9; 51]),
            signature: Vec::new(),
        };
        let covered = public_key_request(
            &request.user,
            &request.algorithm,
            &request.key,
            request.host_key.as_deref(),
            true,
        );
        let data = signed_data(&request.session, &covered);
        let signature = key.key_data().try_sign(&data).unwrap();
        request.signature = signature.encode_vec().unwrap();
        request
    }

    fn plain(key: &PrivateKey) -> SignedRequest {
        let blob = key.public_key().to_bytes().unwrap();
        signed(key, blob, key.algorithm().as_str())
    }

    #[test]
    fn a_signature_counts_for_every_field_of_its_request() {
        let key = ed25519();
        let request = plain(&key);
        let verified = request.clone().verify().unwrap();
        assert_eq!(verified.request(), &request);
        assert_eq!(verified.key().key_data(), key.public_key().key_data());
        assert_eq!(verified.presence(), None);
        type Change = fn(&mut SignedRequest);
        let changes: [Change; 5] = [
            |request| request.session = vec![6; 32],
            |request| request.user = "root".to_owned(),
            |request| request.host_key = None,
            |request| request.host_key = Some(vec![8; 51]),
            |request| request.key = ed25519().public_key().to_bytes().unwrap(),
        ];
        for change in changes {
            let mut request = request.clone();
            change(&mut request);
            assert_eq!(
                request.verify(),
                Err(OfferError::Signature(SignatureError::Wrong))
            );
        }
    }

    #[test]
    fn the_algorithm_is_the_keys_and_the_signatures() {
        let key = ed25519();
        let renamed = |name: &str| {
            let mut request = plain(&key);
            request.algorithm = name.to_owned();
            request.verify().unwrap_err()
        };
        let algorithm = |name: &str| OfferError::Algorithm(name.to_owned());
        let mismatch = |name: &str| OfferError::Mismatch(name.to_owned());
        assert_eq!(renamed("ssh-rsa"), algorithm("ssh-rsa"));
        assert_eq!(
            renamed("ecdsa-sha2-nistp256"),
            mismatch("ecdsa-sha2-nistp256")
        );
        let certified = "ssh-ed25519-cert-v01@openssh.com";
        assert_eq!(renamed(certified), mismatch(certified));
        let mut other = plain(&key);
        other.signature = plain(&p256()).signature;
        assert_eq!(other.verify(), Err(OfferError::MalformedSignature));
        let mut longer = plain(&key);
        longer.signature.push(0);
        assert_eq!(longer.verify(), Err(OfferError::MalformedSignature));
    }

    #[test]
    fn the_key_of_a_certificate_proves_itself_too() {
        let key = ed25519();
        let certificate = CertSpec::user(&key).sign(&ed25519());
        let algorithm = certificate.algorithm().to_certificate_type();
        let request = signed(&key, certificate.to_bytes().unwrap(), &algorithm);
        let verified = request.verify().unwrap();
        assert_eq!(verified.key().certificate(), Some(&certificate));
    }
}
