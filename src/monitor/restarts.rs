//! When a process that has exited by itself is started again: at once, and later each time if it does not
//! live for long.

use std::time::Duration;

use tokio::time::Instant;

/// A process that lived for this long is started again at once.
const CALM: Duration = Duration::from_secs(10);
/// How long to wait before the second attempt; each further one waits twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait. There is no last attempt: sessions go on without the process, and would end with
/// the proxy.
const LONGEST: Duration = Duration::from_secs(5);

/// The attempts to have a process run.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    started: Option<Instant>,
    wait: Duration,
    due: Option<Instant>,
    count: u64,
}

impl Restarts {
    /// The process was started, or that failed.
    pub(super) fn started(&mut self) {
        self.started = Some(Instant::now());
        if self.due.take().is_some() {
            self.count = self.count.saturating_add(1);
        }
    }

    /// How many attempts there were after the first.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The process has exited, or could not be started. Says how long to wait before the next attempt.
    pub(super) fn exited(&mut self) -> Duration {
        let now = Instant::now();
        let is_calm = self.started.is_none_or(|started| started + CALM <= now);
        if is_calm {
            self.wait = Duration::ZERO;
        }
        let wait = self.wait;
        self.wait = (2 * wait).clamp(FIRST, LONGEST);
        self.due = Some(now + wait);
        wait
    }

    /// Whether it is time for the next attempt.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_attempt_waits_longer_until_one_lives_for_long() {
        let mut restarts = Restarts::default();
        assert!(!restarts.is_due(), "nothing has exited");
        let mut waits = Vec::new();
        for _ in 0..9 {
            restarts.started();
            waits.push(restarts.exited().as_millis());
            assert_eq!(restarts.is_due(), waits.len() == 1);
            tokio::time::advance(LONGEST).await;
            assert!(restarts.is_due());
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(restarts.count(), 8);
        restarts.started();
        assert_eq!(restarts.count(), 9);
        assert!(!restarts.is_due());
        tokio::time::advance(CALM).await;
        assert_eq!(restarts.exited(), Duration::ZERO);
    }
}
