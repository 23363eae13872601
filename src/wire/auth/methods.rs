//! The methods by which a client may authenticate.

use crate::cert::proof::PUBLICKEY;

/// RFC 4256.
pub(super) const KEYBOARD_INTERACTIVE: &str = "keyboard-interactive";

/// A set of methods: what a server names in its refusals, and what it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Methods {
    /// `publickey` and its host-bound variant.
    pub public_key: bool,
    /// `keyboard-interactive`.
    pub keyboard_interactive: bool,
}

impl Methods {
    /// Public keys and nothing else.
    pub const PUBLIC_KEY: Self = Self {
        public_key: true,
        keyboard_interactive: false,
    };
    /// Questions and nothing else: what is left when a key was right and is not enough.
    pub const KEYBOARD_INTERACTIVE: Self = Self {
        public_key: false,
        keyboard_interactive: true,
    };

    /// Public keys, and questions.
    pub const PUBLIC_KEY_AND_QUESTIONS: Self = Self {
        public_key: true,
        keyboard_interactive: true,
    };

    /// The names, separated by commas (RFC 4252 section 5.1).
    pub(super) fn list(self) -> String {
        [
            (self.public_key, PUBLICKEY),
            (self.keyboard_interactive, KEYBOARD_INTERACTIVE),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect::<Vec<_>>()
        .join(",")
    }
}
