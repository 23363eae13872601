//! Checks whether the threads that serve connections still run.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Probes from another thread whether the runtime of each thread still runs. Clones share the probe.
#[derive(Clone, Debug)]
pub struct RuntimeProbe {
    runtimes: Vec<Handle>,
}

/// The result of a [`RuntimeProbe`]: how many threads are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeResult {
    /// They turn.
    pub answered: usize,
    /// They have not answered in time.
    pub late: usize,
    /// They have ended.
    pub ended: usize,
}

impl RuntimeProbe {
    /// Probes the threads of these runtimes.
    #[must_use]
    pub(crate) fn new(runtimes: Vec<Handle>) -> Self {
        Self { runtimes }
    }

    /// Probes the thread of this runtime too.
    #[must_use]
    pub fn and(mut self, runtime: Handle) -> Self {
        self.runtimes.push(runtime);
        self
    }

    /// Has every thread do next to nothing, for which it may take this long. A thread that is busy for
    /// longer serves none of its connections meanwhile.
    pub async fn feel(&self, limit: Duration) -> ProbeResult {
        let deadline = Instant::now() + limit;
        let asked: Vec<_> = self
            .runtimes
            .iter()
            .map(|runtime| runtime.spawn(async {}))
            .collect();
        let mut heard = ProbeResult::default();
        for mut answer in asked {
            match timeout_at(deadline, &mut answer).await {
                Ok(Ok(())) => heard.answered += 1,
                Ok(Err(_ended)) => heard.ended += 1,
                Err(_elapsed) => {
                    // Aborted, so that repeated health checks do not pile up on a stuck thread.
                    answer.abort();
                    heard.late += 1;
                }
            }
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;
    use std::thread::JoinHandle;

    use super::*;

    /// A thread with a runtime.
    struct Thread {
        handle: Handle,
        end: tokio::sync::oneshot::Sender<()>,
        thread: JoinHandle<()>,
    }

    impl Thread {
        fn start() -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            let (end, ended) = tokio::sync::oneshot::channel();
            let thread =
                std::thread::spawn(move || runtime.block_on(async { ended.await.unwrap() }));
            Self {
                handle,
                end,
                thread,
            }
        }

        fn end(self) {
            self.end.send(()).unwrap();
            self.thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_not_one_that_turns() {
        let (one, two) = (Thread::start(), Thread::start());
        let pulse = RuntimeProbe::new(vec![one.handle.clone()]);
        let pulse = pulse.and(two.handle.clone());
        let limit = Duration::from_secs(30);
        let heard = |answered, late, ended| ProbeResult {
            answered,
            late,
            ended,
        };
        assert_eq!(pulse.feel(limit).await, heard(2, 0, 0));
        let (go_on, told) = std_mpsc::channel::<()>();
        let hangs = two.handle.spawn(async move { told.recv().unwrap_err() });
        let felt = pulse.feel(Duration::from_millis(200)).await;
        // On a busy machine the other one may be late as well.
        assert!(felt.late >= 1, "{felt:?}");
        drop(go_on);
        hangs.await.unwrap();
        assert_eq!(pulse.feel(limit).await, heard(2, 0, 0));
        two.end();
        assert_eq!(pulse.feel(limit).await, heard(1, 0, 1));
        one.end();
    }
}
