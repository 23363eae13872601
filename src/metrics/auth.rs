//! What the auth process counts. It serves no metrics itself: a worker asks it what it has counted, and
//! shows that as its own (see the families whose meters are totals).

use super::histogram::{Histogram, Storage};
use super::label::{CertificateUse, SignInMethod, SignInRefusal, StateTask, ThrottleCounter};
use super::meter::{Counter, MeterSet};
use crate::audit::{AuditEvent, EventKind, Fate, Observer};

/// What is counted about users and their sign-ins, about nodes, and about the audit log.
#[derive(Debug, Default)]
pub struct AuthMeters {
    /// Clients that were signed in.
    pub sign_ins: MeterSet<SignInMethod, Counter>,
    /// Clients that were not.
    pub refusals: MeterSet<SignInRefusal, Counter>,
    /// Clients that have to wait.
    pub throttled: MeterSet<ThrottleCounter, Counter>,
    /// Certificates for users who are signed in.
    pub certificates: MeterSet<CertificateUse, Counter>,
    /// Heartbeats of nodes that were answered.
    pub node_heartbeats: Counter,
    /// Hosts that were refused.
    pub node_refusals: Counter,
    /// Events for the audit log.
    pub audit_events: MeterSet<EventKind, Counter>,
    /// Events that the audit log did not take.
    pub audit_failures: Counter,
}

impl Observer for AuthMeters {
    fn emitted(&self, event: &AuditEvent, fate: Fate) {
        if fate != Fate::Counted {
            self.audit_events.add(event.kind(), 1);
        }
        if fate == Fate::Lost {
            self.audit_failures.add(1);
        }
    }
}

/// What is counted about the state.
#[derive(Debug, Default)]
pub struct StateMeters {
    /// How long what succeeded took.
    pub time: MeterSet<StateTask, Histogram<Storage>>,
    /// What failed because of the database.
    pub errors: Counter,
}
