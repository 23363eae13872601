//! What a role lets its users do in the live sessions of others.

use std::fmt;

/// What a person who joins a session may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinMode {
    /// See what the terminal shows.
    Observe,
    /// Type, too.
    Type,
}

impl JoinMode {
    /// The words, in the order of what they allow.
    pub const WORDS: &'static [&'static str] = &["observe", "type"];

    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Type => "type",
        }
    }

    /// The mode of a word; `None` for a word that is none.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Observe, Self::Type]
            .into_iter()
            .find(|mode| mode.word() == word)
    }
}

impl fmt::Display for JoinMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
