//! Recovery codes: each works once in place of a one-time code, when the telephone is lost.

use ssh_key::HashAlg;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::typed_code;
use crate::model::text::hex;

/// How many a person gets.
pub(super) const RECOVERY_CODES: usize = 10;
/// Groups of a code, which has 80 bits.
const GROUPS: usize = 4;

/// New codes, for the person. The state has only their hashes.
#[must_use]
pub(super) fn new_recovery_codes() -> Vec<Zeroizing<String>> {
    (0..RECOVERY_CODES)
        .map(|_| typed_code::random(GROUPS))
        .collect()
}

/// The hash under which the state has a code of this person: SHA-256, in hexadecimal digits. `None` for
/// a text that is no recovery code, such as a code of six digits.
#[must_use]
pub(super) fn recovery_hash(person: Uuid, typed: &str) -> Option<String> {
    let code = typed_code::canonical(typed, GROUPS)?;
    let salted = Zeroizing::new([person.as_bytes().as_slice(), code.as_bytes()].concat());
    Some(hex(&HashAlg::Sha256.digest(&salted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_is_one_persons() {
        let codes = new_recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        let (alice, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let hash = recovery_hash(alice, &codes[0]).unwrap();
        assert_eq!(
            recovery_hash(alice, &codes[0].to_lowercase()),
            Some(hash.clone())
        );
        assert_ne!(recovery_hash(bob, &codes[0]), Some(hash.clone()));
        assert_ne!(recovery_hash(alice, &codes[1]), Some(hash));
        assert_eq!(recovery_hash(alice, "123456"), None);
    }
}
