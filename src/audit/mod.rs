//! The audit log: connections, logins, refusals and their reasons, recordings, signatures.
//!
//! A closed set of events with stable codes, one JSON object per line in `audit.jsonl`, and the
//! same on the program's log. What an event must never carry: secrets, and anything typed.

mod bound;
mod daily;
mod event;
mod fields;
mod flood;
mod kind;
mod log;
mod node;
mod participant;
mod person;
mod refused_calls;
mod sink;
#[cfg(test)]
pub(crate) mod testing;

pub use event::{
    AuditEvent, CertificateType, ForeignSerial, NotPassed, Party, RecordingState, RefusedKind,
    Weaker,
};
pub use fields::UnixSeconds;
pub use kind::{EventKind, Severity, table};
pub use log::{AuditError, AuditLog, Fate, Observer};
pub use node::{JoinedEvent, NodeEvent};
pub use participant::{JoinedSession, LeftSession};
pub use person::PersonEvent;
pub use refused_calls::{RefusedCall, RefusedCalls};
pub use sink::{AuditSink, DeferredLog};
