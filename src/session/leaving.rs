//! What is recorded when a side disconnects, and of requests on channels where no session began.

use super::recorded_session::note_of;
use super::recorder::Recorder;
use super::recording_start::RecordingStart;
use crate::recording::{self, ChannelNote};
use crate::relay::{RelayedMessage, Side, Start, Value};

impl Recorder {
    /// Notes in all recordings the text with which one side disconnected. Whether at least one complete
    /// recording has it.
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

    /// Records what was requested on a channel where no session began.
    pub(super) fn never_began(&mut self, asked: &Start) {
        // A recording that cannot begin is audited; the requests are over anyway.
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
