//! Warns of hosts whose certificates expire soon: one event a day, so that an administrator can renew
//! them in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ssh_key::Certificate;

use crate::access::Route;
use crate::audit::AuditLog;
use crate::cert::VerifiedHost;
use crate::metrics::Metrics;
use crate::model::HostAddress;
use crate::sys::clock::Clock;

/// How long no further warning is written for the same host, in seconds: a day.
const PAUSE: u64 = 86_400;
/// The latest expiry time that a calendar can show. A later one counts as "never expires".
const FOREVER: u64 = i64::MAX.unsigned_abs();
/// How many hosts are remembered; for further hosts there is no warning.
const MAX_HOSTS: usize = 10_000;

/// When the last warning about each host was written, in seconds since the epoch.
#[derive(Debug, Default)]
struct ExpiryWarnings(Mutex<BTreeMap<String, u64>>);

impl ExpiryWarnings {
    /// Whether a warning about the host is due; if so, notes that it was written.
    fn take_turn(&self, host: &str, now: u64) -> bool {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.get(host).is_some_and(|at| now < at + PAUSE) {
            return false;
        }
        if warned.len() >= MAX_HOSTS {
            warned.retain(|_, at| now < *at + PAUSE);
        }
        let has_place = warned.len() < MAX_HOSTS;
        if has_place {
            warned.insert(host.to_owned(), now);
        }
        has_place
    }
}

/// Watches the expiry times of the certificates that hosts present.
#[derive(Debug)]
pub(crate) struct HostExpiry {
    warned: ExpiryWarnings,
    audit: AuditLog,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl HostExpiry {
    /// Writes warnings to this log, and updates these metrics.
    #[must_use]
    pub(crate) fn new(audit: AuditLog, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self {
            warned: ExpiryWarnings::default(),
            audit,
            metrics,
            clock,
        }
    }

    /// Checks what a host has presented. The connection does not wait for the audit log.
    pub(crate) fn look(&self, route: &Route, address: HostAddress, host: &VerifiedHost) {
        let now = self.clock.unix_seconds();
        if let Some(node) = &route.node {
            let end = host.certificate().map(Certificate::valid_before);
            let end = end.filter(|end| *end < FOREVER);
            self.metrics.host_certificates.set(node, end);
        }
        let Some(certificate) = host.ending(now).cloned() else {
            return;
        };
        let name = route.node.as_ref().unwrap_or(&route.host).clone();
        if !self.warned.take_turn(&name, now) {
            return;
        }
        let audit = self.audit.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = audit.warn_of_ending(&name, address, &certificate, "proxy") {
                tracing::error!(%error, "cannot write the audit log");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_turn_a_day_and_memory_is_bounded() {
        let warned = ExpiryWarnings::default();
        assert!(warned.take_turn("db1", 1_000));
        assert!(!warned.take_turn("db1", 1_000 + PAUSE - 1));
        assert!(warned.take_turn("db2", 1_000));
        assert!(warned.take_turn("db1", 1_000 + PAUSE));
        for number in 0..2 * MAX_HOSTS {
            warned.take_turn(&format!("host{number}"), 1_000 + PAUSE);
        }
        assert_eq!(warned.0.lock().unwrap().len(), MAX_HOSTS);
        assert!(!warned.take_turn("one more", 1_000 + PAUSE));
        assert!(warned.take_turn("one more", 1_000 + 2 * PAUSE));
    }
}
