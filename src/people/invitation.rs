//! Invitations: what a person proves at sign-up that an administrator has asked them.

use ssh_key::HashAlg;
use zeroize::Zeroizing;

use super::typed_code;
use crate::model::text::hex;

/// Groups of an invitation, which has 140 bits.
const GROUPS: usize = 7;

/// A new invitation, for the person. The state has only its hash.
#[must_use]
pub(super) fn new_invitation() -> Zeroizing<String> {
    typed_code::random(GROUPS)
}

/// The hash under which the state has an invitation: SHA-256, in hexadecimal digits. It needs no salt:
/// the invitation is random. `None` for a text that is no invitation.
#[must_use]
pub(super) fn invitation_hash(typed: &str) -> Option<String> {
    let code = typed_code::canonical(typed, GROUPS)?;
    Some(hex(&HashAlg::Sha256.digest(code.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_found_by_its_hash_however_it_is_typed() {
        let invitation = new_invitation();
        let hash = invitation_hash(&invitation).unwrap();
        assert_eq!(hash.len(), 64);
        assert!(!hash.contains(&invitation.replace('-', "").to_lowercase()));
        let typed = invitation.to_lowercase().replace('-', " ");
        assert_eq!(invitation_hash(&typed), Some(hash.clone()));
        assert_ne!(invitation_hash(&new_invitation()), Some(hash));
        assert_eq!(invitation_hash("nothing of the kind"), None);
    }
}
