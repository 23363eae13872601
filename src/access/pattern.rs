//! Names with wildcards, as `ssh_config(5)` has them under PATTERNS.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest pattern, in characters: a key id may have more than a host name.
const MAX_PATTERN: usize = 1024;

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotAPattern {
    /// Empty: it would match nothing.
    #[error("a pattern is empty")]
    Empty,
    /// More than 1024 characters.
    #[error("a pattern has more than {MAX_PATTERN} characters")]
    TooLong,
    /// A control character, which no name has.
    #[error("a pattern has a control character in it")]
    Control,
    /// `!PATTERN`, which sshd has in lists.
    #[error("a pattern with \"!\" before it excludes: what is not allowed stands under deny")]
    Negated,
}

/// A name with wildcards: `*` stands for any characters, `?` for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    characters: Vec<char>,
    folds_case: bool,
}

/// How far a pattern has been read together with a name: the places in it at which the rest of the
/// name may fit, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PatternProgress(Vec<usize>);

impl Pattern {
    /// Before the first character of a name.
    pub(super) fn begin(&self) -> PatternProgress {
        self.past_wildcards([0].into_iter())
    }

    /// After one more character of a name.
    pub(super) fn advance(&self, progress: &PatternProgress, character: char) -> PatternProgress {
        let character = match self.folds_case {
            true => character.to_ascii_lowercase(),
            false => character,
        };
        let next = progress
            .0
            .iter()
            .filter_map(|&place| match *self.characters.get(place)? {
                '*' => Some(place),
                '?' => Some(place + 1),
                wanted => (wanted == character).then_some(place + 1),
            });
        self.past_wildcards(next)
    }

    /// Whether the name that was read fits as a whole.
    pub(super) fn fits(&self, progress: &PatternProgress) -> bool {
        progress.0.contains(&self.characters.len())
    }

    /// A `*` may stand for nothing.
    fn past_wildcards(&self, places: impl Iterator<Item = usize>) -> PatternProgress {
        let mut all = Vec::new();
        for mut place in places {
            all.push(place);
            while self.characters.get(place) == Some(&'*') {
                place += 1;
                all.push(place);
            }
        }
        all.sort_unstable();
        all.dedup();
        PatternProgress(all)
    }

    /// The characters that it names.
    pub(super) fn characters(&self) -> impl Iterator<Item = char> {
        let named = self.characters.iter().copied();
        named.filter(|c| !matches!(c, '*' | '?'))
    }

    /// A short name that fits, with `any` where the pattern takes any character.
    pub(super) fn example(&self, any: char) -> String {
        let wanted = self.characters.iter().filter(|c| **c != '*');
        wanted.map(|c| if *c == '?' { any } else { *c }).collect()
    }

    /// The same pattern, for names that do not distinguish upper and lower case.
    #[must_use]
    pub fn folding_case(self) -> Self {
        Self {
            characters: folded(self.characters.into_iter()),
            folds_case: true,
        }
    }

    /// Whether every name fits, because the pattern says nothing about it.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        !self.characters.is_empty() && self.characters.iter().all(|c| *c == '*')
    }

    /// Whether the whole name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = if self.folds_case {
            folded(name.chars())
        } else {
            name.chars().collect()
        };
        fits(&self.characters, &name, ['*', '?'])
    }
}

fn folded(characters: impl Iterator<Item = char>) -> Vec<char> {
    characters.map(|c| c.to_ascii_lowercase()).collect()
}

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let characters: Vec<char> = text.chars().collect();
        match characters.as_slice() {
            [] => Err(NotAPattern::Empty),
            ['!', ..] => Err(NotAPattern::Negated),
            long if long.len() > MAX_PATTERN => Err(NotAPattern::TooLong),
            other if other.iter().any(|c| c.is_control()) => Err(NotAPattern::Control),
            _ => Ok(Self {
                characters,
                folds_case: false,
            }),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.characters.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

/// Whether a whole text fits a pattern, in which `many` stands for any letters and `one` for exactly
/// one. Takes time in proportion to the product of both lengths, at most.
pub(super) fn fits<T: Copy + PartialEq>(pattern: &[T], text: &[T], [many, one]: [T; 2]) -> bool {
    let (mut pattern, mut rest) = (pattern, text);
    // Where to go on when what follows the last `many` does not fit: it takes one letter more.
    let mut retry: Option<(&[T], &[T])> = None;
    loop {
        match (pattern, rest) {
            ([], []) => return true,
            ([first, pattern_rest @ ..], _) if *first == many => {
                retry = Some((pattern_rest, rest));
                pattern = pattern_rest;
                continue;
            }
            ([wanted, pattern_rest @ ..], [letter, text_rest @ ..])
                if *wanted == one || wanted == letter =>
            {
                (pattern, rest) = (pattern_rest, text_rest);
                continue;
            }
            _ => {}
        }
        let Some((after, [_, shorter @ ..])) = retry else {
            return false;
        };
        retry = Some((after, shorter));
        (pattern, rest) = (after, shorter);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn case_counts_unless_it_is_folded() {
        assert!(pattern("db*").matches("db1") && !pattern("db*").matches("DB1"));
        assert!(pattern("DB?").folding_case().matches("db1"));
        assert!(pattern("db?").folding_case().matches("DB1"));
        assert!(!pattern("db?").folding_case().matches("db12"));
    }

    #[test]
    fn a_question_mark_is_one_character_of_any_alphabet() {
        assert!(pattern("Zo?").matches("Zoë"));
        assert!(!pattern("Zo??").matches("Zoë"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (bad, why) in [
            ("", NotAPattern::Empty),
            ("!root", NotAPattern::Negated),
            ("a\nb", NotAPattern::Control),
            (&"x".repeat(1025), NotAPattern::TooLong),
        ] {
            assert_eq!(bad.parse::<Pattern>(), Err(why), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_read_character_by_character_fits_as_the_whole_does(
            text in "[ab*?]{1,8}",
            name in "[abc]{0,8}",
        ) {
            let pattern = pattern(&text);
            let progress = name.chars().fold(pattern.begin(), |at, c| pattern.advance(&at, c));
            prop_assert_eq!(pattern.fits(&progress), pattern.matches(&name));
            prop_assert!(pattern.matches(&pattern.example('c')));
        }

        #[test]
        fn patterns_print_as_they_are_read(text in "[^!\\p{Cc}]\\PC{0,20}") {
            prop_assert_eq!(pattern(&text).to_string(), text);
        }

        #[test]
        fn every_name_fits_itself_and_a_star(name in "[^!*?\\p{Cc}][^*?\\p{Cc}]{0,20}") {
            prop_assert!(pattern(&name).matches(&name));
            prop_assert!(pattern("*").matches(&name));
        }
    }
}
