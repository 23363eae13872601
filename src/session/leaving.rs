//! What is recorded of the end of things that never were a session, or are one no longer.

use super::recorded_session::note_of;
use super::recorder::Recorder;
use super::recording_start::RecordingStart;
use crate::recording::{self, ChannelNote};
use crate::relay::{RelayedMessage, Side, Start, Value};

impl Recorder {
    /// Notes in all recordings the words with which one side has left. Whether there is one that has them.
    #[must_use]
    pub fn last_words(&mut self, from: Side, text: &str) -> bool {
        let now = self.now();
        let fields = vec![("text", Value::Text(text.to_owned().into()))];
        let request = RelayedMessage {
            from,
            name: "disconnect",
            fields,
        };
        let note = note_of(&request);
        let forwards = self.forwards.iter_mut().map(|one| &mut one.sitting);
        let mut noted = false;
        for sitting in self.sittings.values_mut().chain(forwards) {
            sitting.request(now, &note);
            noted |= sitting.recorded.is_kept() && !sitting.incomplete;
        }
        noted && self.commit().is_ok()
    }

    /// Records what was asked for on a channel on which no session has begun.
    pub(super) fn never_began(&mut self, asked: &Start) {
        // Where that fails, it is audited, and what was asked for is over.
        let Ok(mut sitting) = self.begin(&RecordingStart::of(asked)) else {
            return;
        };
        let now = self.now();
        sitting.environment(now, &asked.environment);
        sitting.asked(now, &asked.asked);
        sitting.request(
            now,
            &ChannelNote::new(recording::Side::Proxy, "not-started"),
        );
        self.finish(sitting, "not-started");
    }
}
