//! Where events go, for code that has some to tell and does not open the log itself.

use std::fmt;

use super::{AuditError, AuditEvent, AuditLog};
use crate::model::{ClusterName, DataDir};
use crate::sys::clock::Clock;

/// Takes audit events.
pub trait AuditSink: fmt::Debug + Send + Sync {
    /// Takes one. It is where it is kept when this returns.
    ///
    /// # Errors
    /// When it cannot be kept; the caller decides whether things may go on.
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError>;
}

impl AuditSink for AuditLog {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        Self::emit(self, event)
    }
}

/// The audit log of a data directory, opened for each event. For events that seldom occur: the file is
/// neither made nor touched before there is one.
#[derive(Clone, Debug)]
pub struct DeferredLog {
    data_dir: DataDir,
    cluster: ClusterName,
    clock: Clock,
}

impl DeferredLog {
    /// Names the place; nothing is opened yet.
    #[must_use]
    pub fn new(data_dir: &DataDir, cluster: &ClusterName, clock: Clock) -> Self {
        Self {
            data_dir: data_dir.clone(),
            cluster: cluster.clone(),
            clock,
        }
    }
}

impl AuditSink for DeferredLog {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        AuditLog::open(&self.data_dir, self.cluster.clone(), self.clock)?.emit(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_for_the_first_event() {
        let directory = crate::sys::fs::private_tempdir();
        let cluster = "example.com".parse().unwrap();
        let log = DeferredLog::new(
            &DataDir::new(directory.path()),
            &cluster,
            Clock::Fixed(1_800_000_000),
        );
        let file = DataDir::new(directory.path()).audit_log();
        assert!(!file.exists());
        let event = AuditEvent::UpgradeRefused {
            message: "no".to_owned(),
        };
        for count in 1..=2 {
            log.emit(&event).unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text.lines().count(), count);
        }
    }
}
