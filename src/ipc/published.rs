//! The service that tells what everybody may know: the CAs' public keys, and the list of what is revoked, as
//! hosts use it. The list comes in pieces, because it may be longer than a message.

use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use super::ca_keys::lines;
use super::hexadecimal;

/// How many bytes of the list are in one answer at most: twice as many digits, beside four long keys.
pub const LIST_PIECE: usize = 20 * 1024;

/// Asks for the keys, and for the list if it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRequest {
    /// The list that the caller has, or has a part of; `None` for a caller that has none.
    pub list: Option<String>,
    /// How many of its bytes the caller has.
    pub have: u64,
}

/// The answer to [`PublishedRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedAnswer {
    /// The user CA's keys: one, or during a rotation two.
    #[serde(with = "lines")]
    pub user: Vec<PublicKey>,
    /// The host CA's keys.
    #[serde(with = "lines")]
    pub host: Vec<PublicKey>,
    /// The name of the list in force: two that differ have different ones.
    pub list: String,
    /// How long the list is, in bytes.
    pub length: u64,
    /// When it was last changed, in seconds since the epoch; 0 if nothing was ever revoked.
    pub changed: u64,
    /// The byte of the list at which [`Self::bytes`] begins: what the caller has, or 0 if that is another list.
    pub offset: u64,
    /// The next bytes of it, [`LIST_PIECE`] at most. None if the caller has all.
    #[serde(with = "hexadecimal")]
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ServiceRequest, encode};

    #[test]
    fn the_longest_piece_and_the_longest_keys_fit() {
        let body = "A".repeat(2_800);
        let answer = format!(
            r#"{{"user":["{body}","{body}"],"host":["{body}","{body}"],"list":"{}","length":0,"changed":0,"offset":0,"bytes":"{}"}}"#,
            "0".repeat(64),
            "ab".repeat(LIST_PIECE),
        );
        let service = ServiceRequest::from(PublishedRequest::default()).service();
        assert!(answer.len() < service.max_answer(), "{}", answer.len());
        let request = PublishedRequest {
            list: Some("0".repeat(64)),
            have: u64::MAX,
        };
        let request = ServiceRequest::from(request);
        assert!(encode(&request).unwrap().len() < service.max_request());
    }
}
