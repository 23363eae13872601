//! Messages of the agent protocol (RFC 9987), for agents that tests play themselves.

use std::io::Read;
use std::os::unix::net::UnixStream;

use ssh_encoding::Decode;

use super::hostile::string;

pub(crate) const FAILURE: u8 = 5;
pub(crate) const SUCCESS: u8 = 6;
pub(crate) const REQUEST_IDENTITIES: u8 = 11;
pub(crate) const IDENTITIES_ANSWER: u8 = 12;
pub(crate) const SIGN_REQUEST: u8 = 13;
pub(crate) const SIGN_RESPONSE: u8 = 14;
pub(crate) const EXTENSION: u8 = 27;
pub(crate) const EXTENSION_RESPONSE: u8 = 29;

/// The next message of the other side; `None` if it has closed the connection.
pub(crate) fn read_message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).expect("64 bits");
    let mut message = vec![0; length];
    stream.read_exact(&mut message).ok()?;
    (!message.is_empty()).then_some(message)
}

/// A message as it is sent.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    string(message)
}

/// The answer that lists these keys.
pub(crate) fn listing(blobs: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(blobs.len()).expect("few");
    let mut answer = vec![IDENTITIES_ANSWER];
    answer.extend(count.to_be_bytes());
    for blob in blobs {
        answer.extend(string(blob));
        answer.extend(string(b"comment"));
    }
    answer
}

/// The data to sign.
pub(crate) fn signed_data(request: &[u8]) -> Vec<u8> {
    let mut fields = &request[1..];
    let _key = Vec::<u8>::decode(&mut fields).expect("a key");
    Vec::<u8>::decode(&mut fields).expect("data")
}
