//! Whether a session is recorded, and to where.

use crate::recording::Live;
use crate::store::RecordingSink;

/// A recording that is written.
pub(super) type Writer = Live<Box<dyn RecordingSink>>;

/// How a session is recorded.
#[derive(Debug)]
pub(super) enum Recorded {
    /// Nothing is recorded, by configuration.
    Off,
    /// It is recorded.
    To(Box<Writer>),
    /// The recording could not be created, and the session continues without it (best-effort mode).
    Lost,
}

impl Recorded {
    /// Whether there is a recording.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::To(_))
    }

    /// The recording, if there is one.
    pub(super) fn writer(&self) -> Option<&Writer> {
        match self {
            Self::To(writer) => Some(writer),
            Self::Off | Self::Lost => None,
        }
    }

    /// The same, to write to it.
    pub(super) fn writer_mut(&mut self) -> Option<&mut Writer> {
        match self {
            Self::To(writer) => Some(writer),
            Self::Off | Self::Lost => None,
        }
    }
}
