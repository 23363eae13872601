//! How often a process calls a service: a bucket of tokens that is filled at the service's rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ipc::{CALL_BURST, Service};

/// Limits how often one process calls one service.
#[derive(Debug)]
pub(super) struct CallRate {
    per_second: f64,
    level: Mutex<Level>,
}

/// How many calls are left, and as of when.
#[derive(Debug)]
struct Level {
    calls: f64,
    at: Duration,
}

impl CallRate {
    /// The rate of this service. `now` is a time of the machine's monotonic clock.
    pub(super) fn of(service: Service, now: Duration) -> Self {
        let level = Level {
            calls: f64::from(CALL_BURST),
            at: now,
        };
        Self {
            per_second: f64::from(service.per_second()),
            level: Mutex::new(level),
        }
    }

    /// Permits one more call, unless there were too many.
    pub(super) fn take(&self, now: Duration) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(level.at).as_secs_f64();
        level.at = level.at.max(now);
        level.calls = (level.calls + passed * self.per_second).min(f64::from(CALL_BURST));
        let is_permitted = level.calls >= 1.0;
        if is_permitted {
            level.calls -= 1.0;
        }
        is_permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(rate: &CallRate, now: Duration) -> u32 {
        (0..)
            .take_while(|_| rate.take(now))
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn many_calls_at_once_are_permitted_and_then_as_many_as_the_rate_allows() {
        let start = Duration::from_secs(1_000);
        let rate = CallRate::of(Service::Changes, start);
        assert_eq!(permitted(&rate, start), CALL_BURST);
        let later = start + Duration::from_secs(2);
        assert_eq!(permitted(&rate, later), 2 * Service::Changes.per_second());
        assert!(!rate.take(start), "time does not run backwards");
        assert_eq!(
            permitted(&rate, later + Duration::from_secs(86_400)),
            CALL_BURST
        );
    }
}
