//! Tokens: what a host proves when it joins that an administrator wants it.

use rand::RngExt as _;
use ssh_key::HashAlg;
use zeroize::Zeroizing;

use crate::model::text::hex;

/// What every token begins with, so that a scanner for secrets finds one that was put into a file.
const PREFIX: &str = "rpt_";
/// The random bytes of a token.
const BYTES: usize = 20;

/// A new token, for the administrator. The state has only its hash.
pub(super) fn new_token() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    rand::rng().fill(bytes.as_mut_slice());
    let digits = Zeroizing::new(hex(bytes.as_slice()));
    Zeroizing::new(format!("{PREFIX}{}", digits.as_str()))
}

/// The hash under which the state has a token: SHA-256, in hexadecimal digits. It needs no salt: the token is
/// random. `None` for a text that is no token. White space around it does not count.
pub(super) fn token_hash(typed: &str) -> Option<String> {
    let token = typed.trim_ascii();
    let digits = token.strip_prefix(PREFIX)?;
    let is_one = digits.len() == 2 * BYTES
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| hex(&HashAlg::Sha256.digest(token.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash() {
        let token = new_token();
        assert_eq!(token.len(), 44);
        let hash = token_hash(&token).unwrap();
        assert_eq!(hash.len(), 64);
        assert!(!hash.contains(&token[4..]));
        assert_eq!(token_hash(&format!(" {}\r\n", &*token)), Some(hash.clone()));
        assert_ne!(token_hash(&new_token()), Some(hash));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let token = new_token();
        let digits = &token[4..];
        for text in [
            "",
            "rpt_",
            digits,
            &token[..43],
            &format!("{}0", &*token),
            &format!("rpt_{}", digits.replace(char::is_alphanumeric, "g")),
            &format!("rpt_{}", "A".repeat(40)),
            &"rpt_".repeat(10_000),
        ] {
            assert_eq!(token_hash(text), None, "{text:?}");
        }
    }
}
