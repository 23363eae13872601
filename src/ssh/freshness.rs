//! How old the knowledge is of what was revoked and which sign-ins have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::clock;

/// The age of that knowledge. Clones share it.
#[derive(Clone, Debug)]
pub struct Freshness {
    /// When it was true, in milliseconds of the machine's monotonic clock.
    known_at: Arc<AtomicU64>,
    limit: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self::new(Duration::MAX)
    }
}

impl Freshness {
    /// Knowledge that is true now. If it is older than the limit, no new client is judged by it.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let known_at = Arc::new(AtomicU64::new(milliseconds(clock::monotonic())));
        Self { known_at, limit }
    }

    /// Notes that it was true at this time of the machine's monotonic clock.
    pub fn note(&self, at: Duration) {
        self.known_at.store(milliseconds(at), Ordering::Release);
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self) -> Duration {
        let known_at = Duration::from_millis(self.known_at.load(Ordering::Acquire));
        clock::monotonic().saturating_sub(known_at)
    }

    /// Whether it is too old for a new client to be judged by it.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age() > self.limit
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowledge_gets_too_old_until_it_is_confirmed() {
        let limit = Duration::from_secs(3_600);
        let freshness = Freshness::new(limit);
        assert!(!freshness.is_stale());
        let shared = freshness.clone();
        shared.note(clock::monotonic().saturating_sub(2 * limit));
        // A machine that was started an hour ago cannot have older knowledge.
        let is_old = clock::monotonic() > 2 * limit;
        assert_eq!(freshness.is_stale(), is_old || clock::monotonic() > limit);
        shared.note(clock::monotonic());
        assert!(!freshness.is_stale() && freshness.age() < limit);
        assert!(!Freshness::default().is_stale());
    }
}
