//! An administrator ends one session of several: what its recording says about it.

use super::recorder::Recorder;
use crate::model::SessionId;
use crate::relay::ChannelKey;

/// Where a live session is within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLocation {
    /// On this channel.
    Channel(ChannelKey),
    /// The forwarded channels, all of them.
    Forwards,
}

impl Recorder {
    /// Where a session is; `None` when it belongs to another connection, or has ended.
    #[must_use]
    pub fn place(&self, session: SessionId) -> Option<SessionLocation> {
        let is_forwards = |forwards: &super::forwards::Forwards| forwards.sitting.id == session;
        if self.forwards.as_ref().is_some_and(is_forwards) {
            return Some(SessionLocation::Forwards);
        }
        self.sittings
            .iter()
            .find(|(_, sitting)| sitting.id == session)
            .map(|(key, _)| SessionLocation::Channel(*key))
    }

    /// Writes a marker for people into all recordings of the connection.
    pub fn mark_all(&mut self, text: &str) {
        let now = self.now();
        let forwards = self.forwards.iter_mut().map(|one| &mut one.sitting);
        for sitting in self.sittings.values_mut().chain(forwards) {
            sitting.mark(now, text);
        }
    }

    /// Ends the session at this place before its channels are closed. Later tap events for those
    /// channels are ignored.
    pub fn end_one(&mut self, place: SessionLocation, text: &str, reason: &'static str) {
        let sitting = match place {
            SessionLocation::Channel(key) => self.sittings.remove(&key),
            SessionLocation::Forwards => self.forwards.take().map(|forwards| forwards.sitting),
        };
        if let Some(mut sitting) = sitting {
            let now = self.now();
            sitting.mark(now, text);
            sitting.broke_off(now, reason);
            self.finish(sitting, reason);
        }
    }
}
