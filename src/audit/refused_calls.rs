//! Calls of processes that were refused. The first of its kind is written at once; those that follow
//! are counted, and told as a sum once a minute: a process that asks without end does not fill the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{AuditEvent, AuditSink};

/// How often sums are written.
const MINUTE: Duration = Duration::from_secs(60);

/// Which calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedCall {
    /// The kind of the process that has called.
    pub process: String,
    /// Its process id.
    pub pid: i32,
    /// The service; `None` for a message that is no call.
    pub service: Option<&'static str>,
    /// The stable name of the reason.
    pub reason: &'static str,
}

/// Writes down which calls were refused. Clones share the counts.
#[derive(Clone, Debug)]
pub struct RefusedCalls {
    audit: Arc<dyn AuditSink>,
    tally: Arc<Mutex<Tally>>,
}

/// What was refused in this minute.
#[derive(Debug)]
struct Tally {
    began: Instant,
    /// How many were not written.
    counts: BTreeMap<RefusedCall, u64>,
}

impl RefusedCalls {
    /// Writes to this log.
    #[must_use]
    pub fn new(audit: Arc<dyn AuditSink>) -> Self {
        Self {
            audit,
            tally: Arc::new(Mutex::new(Tally::new(Instant::now()))),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was refused. It is refused in any case: if it cannot be written down, the program's log says
    /// so.
    pub fn note(&self, call: RefusedCall) {
        let is_first = self.tally().take(&call);
        if is_first {
            self.emit(call, 1);
        }
    }

    /// Writes what was counted, once a minute; at the end, at once. To be called now and then.
    pub fn tell_sums(&self, is_end: bool) {
        let counts = self.tally().sums(Instant::now(), is_end);
        for (call, count) in counts {
            self.emit(call, count);
        }
    }

    fn emit(&self, call: RefusedCall, count: u64) {
        let event = AuditEvent::CallRefused {
            process: call.process,
            pid: call.pid,
            service: call.service,
            reason: call.reason,
            count,
        };
        if let Err(error) = self.audit.emit(&event) {
            tracing::error!(%error, "cannot write the audit log");
        }
    }
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            counts: BTreeMap::new(),
        }
    }

    /// Whether it is the first of its kind in this minute. Others are counted.
    fn take(&mut self, call: &RefusedCall) -> bool {
        match self.counts.get_mut(call) {
            Some(count) => {
                *count += 1;
                false
            }
            None => {
                self.counts.insert(call.clone(), 0);
                true
            }
        }
    }

    /// What was counted, if the minute is over; the next one begins.
    fn sums(&mut self, now: Instant, is_end: bool) -> Vec<(RefusedCall, u64)> {
        if now.saturating_duration_since(self.began) < MINUTE && !is_end {
            return Vec::new();
        }
        let counts = std::mem::replace(self, Self::new(now)).counts;
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditError;

    /// Keeps how many calls of which reason were told.
    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<(&'static str, u64)>>);

    impl AuditSink for Told {
        fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
            let AuditEvent::CallRefused { reason, count, .. } = event else {
                panic!("{event:?}");
            };
            self.0.lock().unwrap().push((reason, *count));
            Ok(())
        }
    }

    fn call(reason: &'static str) -> RefusedCall {
        RefusedCall {
            process: "worker".to_owned(),
            pid: 7,
            service: Some("people"),
            reason,
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_as_a_sum() {
        let told = Arc::<Told>::default();
        let refused = RefusedCalls::new(Arc::<Told>::clone(&told));
        for _ in 0..1_000 {
            refused.note(call("too-often"));
        }
        refused.note(call("not-allowed"));
        let so_far = || told.0.lock().unwrap().clone();
        assert_eq!(so_far(), [("too-often", 1), ("not-allowed", 1)]);
        refused.tell_sums(false);
        assert_eq!(so_far().len(), 2, "the minute is not over");
        refused.tell_sums(true);
        assert_eq!(so_far()[2..], [("too-often", 999)]);
        // What is refused in the next minute is told at once again.
        refused.note(call("too-often"));
        assert_eq!(so_far()[3..], [("too-often", 1)]);
        refused.tell_sums(true);
        assert_eq!(so_far().len(), 4, "nothing was left to tell");
    }

    #[test]
    fn a_minute_has_its_length() {
        let now = Instant::now();
        let mut tally = Tally::new(now);
        assert!(tally.take(&call("too-often")));
        assert!(!tally.take(&call("too-often")));
        assert_eq!(tally.sums(now + MINUTE / 2, false), []);
        assert_eq!(tally.sums(now + MINUTE, false), [(call("too-often"), 1)]);
    }
}
