//! Proofs that a client holds a key: the request that is signed (RFC 4252 section 7, OpenSSH's PROTOCOL
//! section 3.1 for the variant that is bound to a host key).

use ssh_key::Signature;
use ssh_key::public::KeyData;

use super::{OfferError, PresentedKey, security_key_flags};

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

/// The flags that a security key signs (PROTOCOL.u2f): touched unless the CA waived it, verified if
/// the CA wants it.
///
/// # Errors
/// It was not.
pub fn check_presence(key: &PresentedKey, signature: &Signature) -> Result<(), OfferError> {
    const USER_PRESENT: u8 = 0x01;
    const USER_VERIFIED: u8 = 0x04;
    if !matches!(
        key.key_data(),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    ) {
        return Ok(());
    }
    let flags = security_key_flags(signature).unwrap_or(0);
    let cert = key.certificate();
    let is_touch_waived = cert.is_some_and(|c| c.extensions().contains_key("no-touch-required"));
    let is_verification_required =
        cert.is_some_and(|c| c.critical_options().contains_key("verify-required"));
    if flags & USER_PRESENT == 0 && !is_touch_waived {
        return Err(OfferError::NoTouch);
    }
    if flags & USER_VERIFIED == 0 && is_verification_required {
        return Err(OfferError::NotVerified);
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever fits into a packet is shorter.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}
