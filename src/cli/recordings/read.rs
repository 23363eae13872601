//! Audits that a recording is read, before it is read.

use std::collections::BTreeMap;

use crate::audit::AuditEvent;
use crate::cli::{Context, Failure, auditing};
use crate::recording::Header;
use crate::sys::account::Actor;

/// That a user reads one recording.
pub(super) fn one(how: &'static str, header: &Header) -> AuditEvent {
    AuditEvent::RecordingRead {
        how,
        session: Some(header.session),
        connection: Some(header.connection),
        user: Some(header.user.clone()),
        login: Some(header.login.clone()),
        target: Some(header.target.clone()),
        filter: None,
        recordings: 1,
        actor: Actor::of_this_process(),
    }
}

/// That a user lists recordings, which is what a list has of each: who, where, which command.
pub(super) fn list(filter: BTreeMap<&'static str, String>, found: usize) -> AuditEvent {
    AuditEvent::RecordingRead {
        how: "ls",
        session: None,
        connection: None,
        user: None,
        login: None,
        target: None,
        filter: Some(filter),
        recordings: found,
        actor: Actor::of_this_process(),
    }
}

/// Writes it down.
///
/// # Errors
/// When it cannot be written: then nothing may be read.
pub(super) fn tell(context: &Context, event: &AuditEvent) -> Result<(), Failure> {
    auditing::before(
        context,
        "no recording is read: the audit log cannot say who reads it",
        event,
    )
}
