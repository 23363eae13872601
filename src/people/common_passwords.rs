//! The list of common passwords, which attackers try first: none of them can be a new password.

/// Those that have enough characters otherwise, with their sources and licences.
const LIST: &str = include_str!("common_passwords.txt");

/// Whether a password is in the list. Case does not count.
#[must_use]
pub(super) fn is_common(password: &str) -> bool {
    entries().any(|entry| entry.eq_ignore_ascii_case(password))
}

fn entries() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter(|line| !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::password::MIN_PASSWORD;

    #[test]
    fn the_list_has_what_is_long_enough_once_and_in_order() {
        let all: Vec<&str> = entries().collect();
        assert_eq!(all.len(), 405);
        assert!(all.is_sorted_by(|one, next| one < next));
        for entry in all {
            assert!(entry.len() >= MIN_PASSWORD, "{entry}");
            let is_plain = entry.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
            assert!(
                is_plain && !entry.chars().any(|c| c.is_ascii_uppercase()),
                "{entry}"
            );
        }
    }

    #[test]
    fn case_does_not_count_and_nothing_is_added_or_removed() {
        for common in [
            "1qaz2wsx3edc",
            "1QAZ2wsx3EDC",
            "Unbelievable",
            "111111111111",
        ] {
            assert!(is_common(common), "{common}");
        }
        for other in ["1qaz2wsx3edc ", "unbelievable1", "correct horse", "", "#"] {
            assert!(!is_common(other), "{other}");
        }
    }
}
