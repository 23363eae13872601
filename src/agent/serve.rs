//! The other side of the protocol: requests read, answers written. For an agent of this program's own,
//! which signs for another process of it.
//!
//! The process that asks is not trusted: sizes are bounded, and what is neither a list nor a signature is none.

use ssh_encoding::Decode as _;

use super::reply::{AgentError, read_string};
use super::request::{framed, put_string};

/// Longest request, in bytes without the length.
pub const MAX_REQUEST: usize = 64 * 1024;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentRequest {
    /// Which keys it has.
    Identities,
    /// A signature.
    Sign {
        /// The key, as the agent lists it.
        key: Vec<u8>,
        /// What is to be signed.
        data: Vec<u8>,
    },
    /// Anything else.
    Other,
}

impl AgentRequest {
    /// Reads one message, without its length.
    ///
    /// # Errors
    /// When it is cut, or goes on after its end.
    pub fn parse(message: &[u8]) -> Result<Self, AgentError> {
        let (&kind, body) = message.split_first().ok_or(AgentError::Malformed)?;
        let rest = &mut &*body;
        let request = match kind {
            REQUEST_IDENTITIES => Self::Identities,
            SIGN_REQUEST => {
                let (key, data) = (read_string(rest)?, read_string(rest)?);
                // The hash for RSA keys. There is one that is good, and that is used.
                u32::decode(rest).ok().ok_or(AgentError::Malformed)?;
                Self::Sign { key, data }
            }
            _ => return Ok(Self::Other),
        };
        if rest.is_empty() {
            Ok(request)
        } else {
            Err(AgentError::Malformed)
        }
    }
}

/// The answer that lists one key, or none.
#[must_use]
pub fn identities_answer(key: Option<(&[u8], &str)>) -> Vec<u8> {
    let mut message = vec![IDENTITIES_ANSWER];
    message.extend_from_slice(&u32::from(key.is_some()).to_be_bytes());
    if let Some((blob, comment)) = key {
        put_string(&mut message, blob);
        put_string(&mut message, comment.as_bytes());
    }
    framed(&message)
}

/// The answer with a signature.
#[must_use]
pub fn sign_response(signature: &[u8]) -> Vec<u8> {
    let mut message = vec![SIGN_RESPONSE];
    put_string(&mut message, signature);
    framed(&message)
}

/// No.
#[must_use]
pub fn failure() -> Vec<u8> {
    framed(&[FAILURE])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::{AgentReply, SignFlags, request_identities, sign_request};

    fn parse(framed: &[u8]) -> Result<AgentRequest, AgentError> {
        AgentRequest::parse(&framed[4..])
    }

    #[test]
    fn requests_of_the_other_side_are_read() {
        assert_eq!(parse(&request_identities()), Ok(AgentRequest::Identities));
        let request = sign_request(b"key", b"data", SignFlags::RSA_SHA2_512);
        let (key, data) = (b"key".to_vec(), b"data".to_vec());
        assert_eq!(parse(&request), Ok(AgentRequest::Sign { key, data }));
        // Adding a key, and locking: an agent like this has no use for either.
        for other in [17, 22] {
            assert_eq!(AgentRequest::parse(&[other, 1, 2]), Ok(AgentRequest::Other));
        }
        for end in 0..request.len() - 4 {
            assert!(AgentRequest::parse(&request[4..4 + end]).is_err());
        }
        assert!(AgentRequest::parse(&[REQUEST_IDENTITIES, 0]).is_err());
    }

    #[test]
    fn answers_are_read_by_the_other_side() {
        let read = |framed: Vec<u8>| AgentReply::parse(&framed[4..]);
        assert_eq!(read(failure()), Ok(AgentReply::Failure));
        assert_eq!(
            read(sign_response(b"s")),
            Ok(AgentReply::Signature(b"s".to_vec()))
        );
        assert_eq!(
            read(identities_answer(None)),
            Ok(AgentReply::Identities(vec![]))
        );
        let one = read(identities_answer(Some((b"blob", "comment"))));
        let Ok(AgentReply::Identities(one)) = one else {
            panic!("{one:?}");
        };
        assert_eq!((&*one[0].blob, &*one[0].comment), (&b"blob"[..], "comment"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _no_panic = AgentRequest::parse(&bytes);
        }
    }
}
