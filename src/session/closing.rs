//! The end of a session: what is audited of it, once the disk has its recording or has failed to
//! take it.

use std::io;

use super::registry::Departed;
use crate::audit::{AuditEvent, AuditLog, RecordingState};
use crate::model::chain;
use crate::store::Finished;

/// What is to be audited of a session that has ended.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) audit: AuditLog,
    /// The session's end. Its `recording` is true if the disk takes the recording.
    pub(super) end: AuditEvent,
    /// Dropping it wakes those that wait for the session's end.
    pub(super) departed: Departed,
}

impl Closing {
    /// Audits the end of a session without a recording to wait for.
    pub(super) fn without_recording(self) {
        self.tell(&self.end);
        drop(self.departed);
    }

    /// Audits the end of a session whose recording the disk has, or has failed to take.
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

/// The event of a sync that failed. The end then says that the recording may lack something.
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
