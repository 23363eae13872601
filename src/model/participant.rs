//! Somebody who has joined a session of somebody else.

use std::fmt;
use std::num::NonZeroU16;

/// The number of a participant within one session, from 1. The session's own client has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(NonZeroU16);

impl ParticipantId {
    /// The participant with this number.
    #[must_use]
    pub fn new(number: NonZeroU16) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
