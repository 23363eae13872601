//! When the next event is due: speed, pause, silence.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::keys::KeyPress;

/// Slowest and fastest that keys can make it.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.0625..=64.0;
/// Further behind than this, the replay gives up catching up.
const MAX_LAG: Duration = Duration::from_millis(500);

/// Whether a replay goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Flow {
    /// The event is due.
    Go,
    /// The user has had enough.
    Quit,
}

/// The clock of a replay.
#[derive(Debug)]
pub(in crate::cli) struct Pace {
    keys: Receiver<KeyPress>,
    speed: f64,
    idle_limit: Option<Duration>,
    due: Instant,
}

impl Pace {
    pub(in crate::cli) fn new(
        speed: f64,
        idle_limit: Option<Duration>,
        keys: Receiver<KeyPress>,
    ) -> Self {
        Self {
            keys,
            speed,
            idle_limit,
            due: Instant::now(),
        }
    }

    /// Waits for what was this much time in the session.
    pub(in crate::cli) fn wait(&mut self, recorded: Duration) -> Flow {
        let recorded = self
            .idle_limit
            .map_or(recorded, |limit| recorded.min(limit));
        self.wait_unscaled(scaled(recorded, 1.0 / self.speed))
    }

    /// Waits for a time of the clock on the wall.
    pub(in crate::cli) fn wait_unscaled(&mut self, time: Duration) -> Flow {
        let now = Instant::now();
        // Due times add up, so that the time it takes to write does not.
        let base = if self.due + MAX_LAG < now {
            now
        } else {
            self.due
        };
        self.due = base + time;
        // What is left of the wait, while it stands still.
        let mut paused = None;
        loop {
            let key = match paused {
                None => self.keys.recv_timeout(self.left()),
                Some(_) => self
                    .keys
                    .recv()
                    .map_err(|_gone| RecvTimeoutError::Disconnected),
            };
            let left = paused.unwrap_or_else(|| self.left());
            match key {
                Err(RecvTimeoutError::Timeout) => return Flow::Go,
                // The thread that reads keys is gone: no key could end a pause.
                Ok(KeyPress::Quit) | Err(RecvTimeoutError::Disconnected) => return Flow::Quit,
                Ok(KeyPress::Skip) => {
                    self.due = Instant::now();
                    return Flow::Go;
                }
                Ok(KeyPress::Pause) if paused.is_none() => paused = Some(left),
                Ok(KeyPress::Pause) => {
                    paused = None;
                    self.due = Instant::now() + left;
                }
                Ok(key @ (KeyPress::Faster | KeyPress::Slower)) => {
                    let factor = if key == KeyPress::Faster { 2.0 } else { 0.5 };
                    if SPEEDS.contains(&(self.speed * factor)) {
                        self.speed *= factor;
                        let left = scaled(left, 1.0 / factor);
                        paused = paused.map(|_| left);
                        self.due = Instant::now() + left;
                    }
                }
            }
        }
    }

    fn left(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }
}

/// A duration times a factor; at most a year, which no replay outlives.
fn scaled(duration: Duration, factor: f64) -> Duration {
    const YEAR: f64 = 31_536_000.0;
    Duration::try_from_secs_f64((duration.as_secs_f64() * factor).min(YEAR)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A wait of an hour of recording with these keys already pressed.
    fn wait(keys: &[KeyPress], speed: f64) -> (Flow, Pace) {
        let (sender, receiver) = sync_channel(16);
        for key in keys {
            sender.send(*key).unwrap();
        }
        drop(sender);
        let mut pace = Pace::new(speed, None, receiver);
        let flow = pace.wait(HOUR);
        (flow, pace)
    }

    #[test]
    fn keys_end_waits_and_pauses() {
        assert_eq!(wait(&[KeyPress::Skip], 1.0).0, Flow::Go);
        assert_eq!(wait(&[KeyPress::Pause, KeyPress::Skip], 1.0).0, Flow::Go);
        assert_eq!(
            wait(&[KeyPress::Pause, KeyPress::Pause, KeyPress::Skip], 1.0).0,
            Flow::Go
        );
        assert_eq!(wait(&[KeyPress::Pause, KeyPress::Quit], 1.0).0, Flow::Quit);
        assert_eq!(wait(&[], 1.0).0, Flow::Quit, "the terminal is gone");
    }

    #[test]
    fn speed_has_limits() {
        let (_, pace) = wait(
            &[[KeyPress::Faster; 9].as_slice(), &[KeyPress::Skip]].concat(),
            1.0,
        );
        assert!((pace.speed - 64.0).abs() < 1e-9);
        let (_, pace) = wait(
            &[[KeyPress::Slower; 9].as_slice(), &[KeyPress::Skip]].concat(),
            1.0,
        );
        assert!((pace.speed - 0.0625).abs() < 1e-9);
    }

    #[test]
    fn silence_is_shortened_and_speed_divides() {
        let (_sender, keys) = sync_channel(1);
        let mut pace = Pace::new(100.0, Some(Duration::from_secs(2)), keys);
        let begun = pace.due;
        assert_eq!(pace.wait(HOUR), Flow::Go);
        // Exactly that, unless this test itself was held up for half a second.
        let waited = pace.due - begun;
        assert!(
            (Duration::from_millis(20)..Duration::from_secs(2)).contains(&waited),
            "{waited:?}"
        );
    }
}
