//! Frees the memory that recordings hold, while their sessions are silent.

use std::time::Duration;

use super::recorded_session::RecordedSession;
use super::recorder::{Recorder, RecordingLost};

impl Recorder {
    /// The memory that the recordings' compressors hold, in bytes, as of the last commit.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How long until a session has been silent for `after`, if there is one whose memory
    /// [`Recorder::rest`] would free.
    #[must_use]
    pub fn until_rest(&self, after: Duration) -> Option<Duration> {
        let forwards = self.forwards.iter().map(|forwards| &forwards.sitting);
        let warm = self
            .sittings
            .values()
            .chain(forwards)
            .any(|sitting| sitting.warm);
        warm.then(|| (self.last_write + after).saturating_sub(self.now()))
    }

    /// Frees memory that silent sessions do not need.
    ///
    /// # Errors
    /// As [`Recorder::commit`].
    pub fn rest(&mut self) -> Result<(), RecordingLost> {
        self.write(RecordedSession::rest)
    }
}
