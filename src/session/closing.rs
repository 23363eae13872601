//! The end of a session: audited once the recording is synced to the disk, or the sync has failed.

use std::io;

use super::registry::Departed;
use crate::audit::{AuditEvent, AuditLog, RecordingState};
use crate::model::chain;
use crate::store::Finished;

/// What has to be audited about a session that has ended.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) audit: AuditLog,
    /// The event of the session's end. Its `recording` is true if the recording is synced.
    pub(super) end: AuditEvent,
    /// Dropping it wakes the tasks that wait for the session's end.
    pub(super) departed: Departed,
}

impl Closing {
    /// Audits the end of a session without a recording to wait for.
    pub(super) fn without_recording(self) {
        self.tell(&self.end);
        drop(self.departed);
    }

    /// Audits the end of a session whose recording is synced, or whose sync has failed.
    pub(super) fn after(mut self, finished: Finished) {
        if let Err(error) = finished.synced
            && let Some(failed) = not_synced(&mut self.end, &error)
        {
            self.tell(&failed);
        }
        self.without_recording();
    }

    fn tell(&self, event: &AuditEvent) {
        if let Err(error) = self.audit.emit(event) {
            tracing::error!(error = %chain(&error), "cannot write the audit log");
        }
    }
}

/// The event of a failed sync. The end event then says that the recording may be incomplete.
fn not_synced(end: &mut AuditEvent, error: &io::Error) -> Option<AuditEvent> {
    let AuditEvent::SessionEnd {
        session,
        connection,
        user,
        recording,
        ..
    } = end
    else {
        return None;
    };
    *recording = RecordingState::Incomplete;
    Some(AuditEvent::RecordingSyncFailed {
        session: *session,
        connection: *connection,
        user: user.clone(),
        error: error.to_string(),
    })
}
