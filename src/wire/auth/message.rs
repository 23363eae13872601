//! The messages of RFC 4252, written and read.

use ssh_encoding::{Decode, Reader as _};

use super::methods::KEYBOARD_INTERACTIVE;
use super::{AuthError, Methods};
pub(super) use crate::cert::proof::{CONNECTION, REQUEST, public_key_request, signed_data};
use crate::cert::proof::{HOST_BOUND, PUBLICKEY};
use crate::model::text::is_unsafe;

pub(super) const SERVICE_REQUEST: u8 = 5;
pub(super) const SERVICE_ACCEPT: u8 = 6;
pub(super) const FAILURE: u8 = 51;
pub(super) const SUCCESS: u8 = 52;
pub(super) const BANNER: u8 = 53;
/// Also [`INFO_REQUEST`] and `PASSWD_CHANGEREQ`: the method in flight decides.
pub(super) const PK_OK: u8 = 60;
pub(super) const INFO_REQUEST: u8 = 60;
pub(super) const INFO_RESPONSE: u8 = 61;

pub(super) const USERAUTH: &str = "ssh-userauth";

/// Reads `payload` whole: what `read` leaves over makes it malformed.
pub(super) fn parse<'a, T>(
    payload: &'a [u8],
    read: impl FnOnce(&mut &'a [u8]) -> ssh_encoding::Result<T>,
) -> Result<T, AuthError> {
    let mut rest = payload;
    match read(&mut rest) {
        Ok(value) if rest.is_empty() => Ok(value),
        _ => Err(AuthError::Malformed),
    }
}

/// A `SERVICE_REQUEST` or `SERVICE_ACCEPT` without its number.
pub(super) fn parse_service(body: &[u8]) -> Result<String, AuthError> {
    parse(body, String::decode)
}

/// A `USERAUTH_REQUEST` without its number.
pub(super) struct AuthRequest {
    pub(super) user: String,
    pub(super) service: String,
    pub(super) method: Method,
}

pub(super) enum Method {
    None,
    PublicKey(PublicKeyRequest),
    KeyboardInteractive,
    Other,
}

pub(super) struct PublicKeyRequest {
    pub(super) algorithm: String,
    pub(super) blob: Vec<u8>,
    /// The host key that the client believes to talk to; host-bound variant only.
    pub(super) host_key: Option<Vec<u8>>,
    /// Absent in a query.
    pub(super) signature: Option<Vec<u8>>,
}

impl AuthRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, AuthError> {
        parse(body, |r| {
            Ok(Self {
                user: String::decode(r)?,
                service: String::decode(r)?,
                method: Method::read(r)?,
            })
        })
    }
}

impl Method {
    fn read(r: &mut &[u8]) -> ssh_encoding::Result<Self> {
        let name = Vec::<u8>::decode(r)?;
        if name == PUBLICKEY.as_bytes() || name == HOST_BOUND.as_bytes() {
            let has_signature = bool::decode(r)?;
            return Ok(Self::PublicKey(PublicKeyRequest {
                algorithm: String::decode(r)?,
                blob: Vec::decode(r)?,
                host_key: if name == HOST_BOUND.as_bytes() {
                    Some(Vec::decode(r)?)
                } else {
                    None
                },
                signature: if has_signature {
                    Some(Vec::decode(r)?)
                } else {
                    None
                },
            }));
        }
        if name == KEYBOARD_INTERACTIVE.as_bytes() {
            // A language and wishes for the kind of question, neither of which has a use here.
            let _language_and_wishes = (Vec::<u8>::decode(r)?, Vec::<u8>::decode(r)?);
            return Ok(Self::KeyboardInteractive);
        }
        // What other methods carry is theirs.
        let left = r.remaining_len();
        r.drain(left)?;
        Ok(if name == b"none" {
            Self::None
        } else {
            Self::Other
        })
    }
}

pub(super) fn service(number: u8) -> Vec<u8> {
    let mut out = vec![number];
    put_string(&mut out, USERAUTH.as_bytes());
    out
}

/// `USERAUTH_FAILURE`: these methods can continue, and whether the request was a partial success.
pub(super) fn failure(methods: Methods, partial: bool) -> Vec<u8> {
    let mut out = vec![FAILURE];
    put_string(&mut out, methods.list().as_bytes());
    out.push(u8::from(partial));
    out
}

/// The request of keyboard-interactive (RFC 4256 section 3.1), without a language or wishes.
pub(super) fn interactive_request(user: &str) -> Vec<u8> {
    let mut out = vec![REQUEST];
    for field in [user, CONNECTION, KEYBOARD_INTERACTIVE, "", ""] {
        put_string(&mut out, field.as_bytes());
    }
    out
}

/// A text of ours for the user.
pub(super) fn banner(text: &str) -> Vec<u8> {
    let mut lines = printable(text);
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    foreign_banner(&lines.replace('\n', "\r\n")) // RFC 4252 section 5.4
}

/// A text that is passed on as it is: [`printable`] already.
pub(super) fn foreign_banner(text: &str) -> Vec<u8> {
    let mut out = vec![BANNER];
    put_string(&mut out, text.as_bytes());
    put_string(&mut out, b""); // language
    out
}

pub(super) fn pk_ok(algorithm: &str, blob: &[u8]) -> Vec<u8> {
    let mut out = vec![PK_OK];
    put_string(&mut out, algorithm.as_bytes());
    put_string(&mut out, blob);
    out
}

/// Text without control characters other than line ends and tabs, and without characters that
/// change the order of others or cannot be seen: the text goes to a user's terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\n' | '\t') || !is_unsafe(*c))
        .collect()
}

pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever fits into a packet is shorter.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}
