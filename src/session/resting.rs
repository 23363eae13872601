//! Memory that recordings hold while their sessions are busy, and give back when those are silent.

use std::time::Duration;

use super::recorded_session::RecordedSession;
use super::recorder::{Recorder, RecordingLost};

impl Recorder {
    /// The memory that the recordings' compressors hold, in bytes, as of the last commit.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How long until the sessions have been silent for this long, if there is any whose memory
    /// [`Recorder::rest`] would give back.
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

    /// Gives back memory that silent sessions do not need.
    ///
    /// # Errors
    /// As [`Recorder::commit`].
    pub fn rest(&mut self) -> Result<(), RecordingLost> {
        self.write(RecordedSession::rest)
    }
}
