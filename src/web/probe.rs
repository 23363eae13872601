//! Something that may block, done for all requests at once: one at a time, on a thread that may hang, and
//! good for a moment. So a flood of questions, or a disk that does not answer, costs one thread.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long a result is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a request waits for a result.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A kind of work, and what it has come to.
#[derive(Debug)]
pub(super) struct Probe<T> {
    state: Mutex<ProbeState<T>>,
}

#[derive(Debug)]
struct ProbeState<T> {
    last: Option<(Instant, T)>,
    running: Option<JoinHandle<T>>,
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        let state = Mutex::new(ProbeState {
            last: None,
            running: None,
        });
        Self { state }
    }
}

impl<T: Clone + Send + 'static> Probe<T> {
    /// The result, which is at most a moment old. `None` while the work takes too long; it is not begun
    /// again until it has ended.
    pub(super) async fn result(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut state = self.state.lock().await;
        if let Some((at, last)) = &state.last
            && at.elapsed() < FRESH
        {
            return Some(last.clone());
        }
        let mut running = match state.running.take() {
            Some(running) => running,
            None => tokio::task::spawn_blocking(work),
        };
        match timeout(PATIENCE, &mut running).await {
            Ok(Ok(result)) => {
                state.last = Some((Instant::now(), result.clone()));
                Some(result)
            }
            // It panicked, or the runtime ends.
            Ok(Err(error)) => {
                tracing::error!(%error, "a check did not end");
                None
            }
            Err(_elapsed) => {
                state.running = Some(running);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_result_is_for_all_who_ask() {
        let begun = Arc::new(AtomicUsize::new(0));
        let probe = Probe::default();
        let ask = || {
            let begun = Arc::clone(&begun);
            probe.result(move || begun.fetch_add(1, Ordering::SeqCst))
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!((one, two, three), (Some(0), Some(0), Some(0)));
        tokio::time::advance(FRESH).await;
        assert_eq!(ask().await, Some(1));
    }

    /// The clock stands still for as long as a thread works, unless it is wound forward.
    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_costs_one_thread() {
        let begun = Arc::new(AtomicUsize::new(0));
        let (go_on, told) = mpsc::channel::<()>();
        let mut told = Some(told);
        let probe = Probe::default();
        for _ in 0..3 {
            let (begun, told) = (Arc::clone(&begun), told.take());
            let result = probe.result(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                told.map(|told| told.recv())
            });
            let later = tokio::time::advance(PATIENCE + Duration::from_millis(1));
            let (result, ()) = tokio::join!(biased; result, later);
            assert_eq!(result, None);
        }
        go_on.send(()).unwrap();
        assert_eq!(probe.result(|| None).await, Some(Some(Ok(()))));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
    }
}
