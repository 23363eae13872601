//! The clock: the system's, or a fixed one.

use std::time::{Duration, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Always this many seconds after the epoch; for tests and for `verify` at a given time.
    Fixed(u64),
}

impl Clock {
    /// Whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::System => self.since_epoch().as_secs(),
        }
    }

    /// The same as calendar time, with fractions of a second.
    #[must_use]
    pub fn now(self) -> DateTime<Utc> {
        DateTime::<Utc>::from(UNIX_EPOCH + self.since_epoch())
    }

    fn since_epoch(self) -> Duration {
        match self {
            Self::Fixed(seconds) => Duration::from_secs(seconds),
            // A clock before 1970 reads as 1970: every certificate is then "not yet valid".
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the door")]
                let now = std::time::SystemTime::now();
                now.duration_since(UNIX_EPOCH).unwrap_or_default()
            }
        }
    }
}

/// The machine's monotonic clock: the time since some moment that is the same for every process.
/// Deadlines that one process sets and another one reads are moments of it.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // It never reads less than zero.
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// How much processor time this thread has used: what else the machine does makes no difference to it.
#[cfg(test)]
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
