//! Random codes that people type: invitations and recovery codes.
//!
//! Letters and digits without those that look alike (`0` and `O`, `1` and `I`), in groups of four.

use rand::RngExt as _;
use zeroize::Zeroizing;

/// 32 characters, so each has five bits.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Characters in a group.
const GROUP: usize = 4;
/// Longest text that is looked at, in bytes.
const MAX_TYPED: usize = 256;

/// A random code of this many groups, of 20 bits each, as it is shown.
pub(super) fn random(groups: usize) -> Zeroizing<String> {
    let mut code = Zeroizing::new(String::with_capacity(groups * (GROUP + 1)));
    let mut bytes = Zeroizing::new(vec![0_u8; groups * GROUP]);
    rand::rng().fill(bytes.as_mut_slice());
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && i % GROUP == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32: each character is as likely as the others.
        let character = ALPHABET.get(usize::from(byte % 32)).copied();
        code.push(character.map_or('2', char::from));
    }
    code
}

/// A code of this many groups as it was typed, in the form in which it is hashed: without hyphens and
/// spaces, in upper case. `None` for what is no such code.
pub(super) fn canonical(typed: &str, groups: usize) -> Option<Zeroizing<String>> {
    if typed.len() > MAX_TYPED {
        return None;
    }
    let mut code = Zeroizing::new(String::with_capacity(groups * GROUP));
    for c in typed.chars() {
        let c = c.to_ascii_uppercase();
        match c {
            ' ' | '-' | '\t' => {}
            _ if code.len() < groups * GROUP && u8::try_from(c).is_ok_and(is_of_alphabet) => {
                code.push(c);
            }
            _ => return None,
        }
    }
    (code.len() == groups * GROUP).then_some(code)
}

fn is_of_alphabet(byte: u8) -> bool {
    ALPHABET.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_groups_of_unmistakable_characters() {
        for _ in 0..100 {
            let code = random(7);
            assert_eq!(code.len(), 7 * 4 + 6, "{code:?}");
            assert!(code.split('-').all(|group| group.len() == 4), "{code:?}");
            assert!(!code.contains(['0', 'O', '1', 'I']), "{code:?}");
            assert_eq!(*canonical(&code, 7).unwrap(), code.replace('-', ""));
        }
        assert_ne!(random(7), random(7));
    }

    #[test]
    fn case_and_separators_do_not_count() {
        let canonical = |typed| canonical(typed, 2).map(|code| code.to_string());
        assert_eq!(canonical("ab2c-D3ef").as_deref(), Some("AB2CD3EF"));
        assert_eq!(canonical(" AB2C D3EF\t").as_deref(), Some("AB2CD3EF"));
        for wrong in [
            "",
            "AB2C",
            "AB2C-D3E",
            "AB2C-D3EFG",
            "AB2C-D3E0",
            "AB2C-D3E\u{df}",
            "AB2C_D3EF",
        ] {
            assert_eq!(canonical(wrong), None, "{wrong:?}");
        }
        assert_eq!(canonical(&"-".repeat(300)), None);
    }
}
