//! A text of the other side: a version that is safe to print, and the bytes that were sent.

use super::message::printable;

/// A text that a host has sent. It goes to a user's terminal, so what drives one is left out; what was
/// sent stays beside it, for the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignText {
    shown: String,
    sent: Vec<u8>,
}

impl ForeignText {
    /// Takes a text of which no more than `limit` bytes count; the rest is neither shown nor kept.
    #[must_use]
    pub fn new(mut sent: Vec<u8>, limit: usize) -> Self {
        sent.truncate(limit);
        Self {
            shown: printable(&String::from_utf8_lossy(&sent)),
            sent,
        }
    }

    /// What the user reads: U+FFFD for what is no UTF-8, and no control characters.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The bytes that were sent, up to the limit.
    #[must_use]
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }
}

impl From<&str> for ForeignText {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec(), usize::MAX)
    }
}
