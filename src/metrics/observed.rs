//! Counts the events of the audit log too, so that metrics and audit log agree.

use super::Metrics;
use crate::audit::{AuditEvent, Fate, Observer};

impl Observer for Metrics {
    fn emitted(&self, event: &AuditEvent, fate: Fate) {
        match fate {
            Fate::Written => self.audit_events.add(event.kind(), 1),
            Fate::Counted => {}
            Fate::Lost => {
                self.audit_events.add(event.kind(), 1);
                self.audit_failures.add(1);
            }
        }
        match event {
            AuditEvent::AuthFailure { leg, reason, .. }
            | AuditEvent::Refusal { leg, reason, .. } => self.refusals.add(*leg, reason),
            AuditEvent::ChannelRefused { what, .. } => self.channel_refusals.add(*what, 1),
            AuditEvent::RecordingFailed { .. } | AuditEvent::RecordingSyncFailed { .. } => {
                self.recording_failures.add(1);
            }
            _ => {}
        }
    }
}
