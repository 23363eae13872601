//! The request that puts a key into an agent (RFC 9987 section 3.2).

use zeroize::Zeroizing;

use super::request::put_string;

const ADD_ID_CONSTRAINED: u8 = 25;
const CONSTRAIN_LIFETIME: u8 = 1;
const KEY: &[u8] = b"ssh-ed25519";
const CERTIFICATE: &[u8] = b"ssh-ed25519-cert-v01@openssh.com";
/// Bytes of a message besides its certificate and comment, at most.
const FIXED: usize = 256;

/// Asks the agent to hold a key for this many seconds, with a certificate for it or without one. The key
/// pair is one for Ed25519, the seed of the private key before the public key (RFC 9987 section
/// 3.2.3). An agent that does not support lifetimes has to refuse.
#[must_use]
pub fn add_identity(
    pair: &[u8; 64],
    certificate: Option<&[u8]>,
    comment: &str,
    seconds: u32,
) -> Zeroizing<Vec<u8>> {
    let length = FIXED + certificate.map_or(0, <[u8]>::len) + comment.len();
    // As long as it becomes: a buffer that grows would leave copies of the key behind.
    let mut message = Zeroizing::new(Vec::with_capacity(length));
    message.push(ADD_ID_CONSTRAINED);
    match certificate {
        Some(certificate) => {
            put_string(&mut message, CERTIFICATE);
            put_string(&mut message, certificate);
        }
        None => put_string(&mut message, KEY),
    }
    let (_seed, public) = pair.split_at(32);
    put_string(&mut message, public);
    put_string(&mut message, pair);
    put_string(&mut message, comment.as_bytes());
    message.push(CONSTRAIN_LIFETIME);
    message.extend_from_slice(&seconds.to_be_bytes());
    let mut framed = Zeroizing::new(Vec::with_capacity(4 + length));
    put_string(&mut framed, &message);
    framed
}
