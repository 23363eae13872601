//! Threads on which recordings are synced, so that no relay waits for the disk.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most recordings that may wait for the disk at a time. A disk that takes none of so many takes no
/// more either.
const MAX_WAITING: usize = 256;
/// Most threads, and so syncs, at a time. A file system writes what several ask for in one go.
const MAX_THREADS: usize = 64;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// What one of the threads does.
pub(super) trait Job: Send + 'static {
    /// Does it. May block.
    fn run(self);
    /// Is called in its place when no thread can do it.
    fn give_up(self, error: io::Error);
}

/// Threads that are started as there is work, and end when there is none. Clones share them.
#[derive(Debug)]
pub(super) struct SyncThreads<J>(Arc<SyncPool<J>>);

#[derive(Debug)]
struct SyncPool<J> {
    state: Mutex<Work<J>>,
    has_work: Condvar,
    is_done: Condvar,
}

#[derive(Debug)]
struct Work<J> {
    queue: VecDeque<J>,
    /// Jobs in the queue, and those that run.
    unfinished: usize,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
}

impl<J> Clone for SyncThreads<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Job> SyncThreads<J> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(SyncPool {
            state: Mutex::new(Work {
                queue: VecDeque::new(),
                unfinished: 0,
                threads: 0,
                idle: 0,
            }),
            has_work: Condvar::new(),
            is_done: Condvar::new(),
        }))
    }

    /// Has a job done on one of the threads. Never waits for one: a job too many is given up here.
    pub(super) fn run(&self, job: J) {
        let mut work = self.0.lock();
        if work.unfinished >= MAX_WAITING {
            drop(work);
            return job.give_up(io::Error::other(
                "too many recordings wait for the disk already",
            ));
        }
        if work.idle <= work.queue.len() && work.threads < MAX_THREADS {
            match self.start() {
                Ok(()) => work.threads += 1,
                Err(error) if work.threads == 0 => {
                    drop(work);
                    return job.give_up(error);
                }
                // The threads that there are will come to it.
                Err(_) => {}
            }
        }
        work.unfinished += 1;
        work.queue.push_back(job);
        drop(work);
        self.0.has_work.notify_one();
    }

    /// Waits until every job is done, for so long at most. Whether they are.
    pub(super) fn settled(&self, limit: Duration) -> bool {
        let work = self.0.lock();
        let is_busy = |work: &mut Work<J>| work.unfinished > 0;
        let waited = self.0.is_done.wait_timeout_while(work, limit, is_busy);
        let (work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        work.unfinished == 0
    }

    fn start(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("sync".to_owned());
        thread.spawn(move || shared.serve()).map(drop)
    }
}

impl<J: Job> SyncPool<J> {
    /// The life of a thread.
    fn serve(&self) {
        let mut work = self.lock();
        loop {
            if let Some(job) = work.queue.pop_front() {
                drop(work);
                job.run();
                work = self.lock();
                work.unfinished -= 1;
                if work.unfinished == 0 {
                    self.is_done.notify_all();
                }
                continue;
            }
            work.idle += 1;
            let waited = self.has_work.wait_timeout(work, IDLE);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            work = woken;
            work.idle -= 1;
            if waited.timed_out() && work.queue.is_empty() {
                work.threads -= 1;
                return;
            }
        }
    }

    /// The counts are right between any two statements: a panic elsewhere spoils none.
    fn lock(&self) -> MutexGuard<'_, Work<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Waits for its gate, then tells what became of it.
    struct Gated {
        gate: Option<Receiver<()>>,
        told: Sender<Result<(), String>>,
    }

    impl Job for Gated {
        fn run(self) {
            if let Some(gate) = &self.gate {
                gate.recv().unwrap();
            }
            self.told.send(Ok(())).unwrap();
        }

        fn give_up(self, error: io::Error) {
            self.told.send(Err(error.to_string())).unwrap();
        }
    }

    #[test]
    fn a_job_that_hangs_holds_up_no_other() {
        let threads = SyncThreads::new();
        let (told, results) = channel();
        let (open, gate) = channel();
        threads.run(Gated {
            gate: Some(gate),
            told: told.clone(),
        });
        threads.run(Gated { gate: None, told });
        results.recv_timeout(LONG).unwrap().unwrap();
        assert!(!threads.settled(Duration::ZERO), "one hangs still");
        open.send(()).unwrap();
        assert!(threads.settled(LONG));
        results.recv_timeout(LONG).unwrap().unwrap();
    }

    #[test]
    fn a_job_too_many_is_given_up_at_once() {
        let threads = SyncThreads::new();
        let (told, results) = channel();
        let gates: Vec<Sender<()>> = (0..MAX_WAITING)
            .map(|_| {
                let (open, gate) = channel();
                threads.run(Gated {
                    gate: Some(gate),
                    told: told.clone(),
                });
                open
            })
            .collect();
        threads.run(Gated {
            gate: None,
            told: told.clone(),
        });
        let refused = results.try_recv().unwrap().unwrap_err();
        assert!(refused.contains("too many"), "{refused}");
        for gate in &gates {
            gate.send(()).unwrap();
        }
        assert!(threads.settled(LONG));
        assert_eq!(
            results.try_iter().filter(Result::is_ok).count(),
            MAX_WAITING
        );
        threads.run(Gated { gate: None, told });
        results.recv_timeout(LONG).unwrap().unwrap();
    }
}
