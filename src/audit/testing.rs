//! For tests: a log that can be looked at.

use std::sync::Mutex;

use super::{AuditError, AuditEvent, AuditSink};

/// Keeps what is audited.
#[derive(Debug, Default)]
pub(crate) struct Audited(pub(crate) Mutex<Vec<AuditEvent>>);

impl Audited {
    /// The names of the events, in their order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let events = self.0.lock().unwrap();
        events.iter().map(|event| event.kind().name()).collect()
    }
}

impl AuditSink for Audited {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}
