//! Threads that work on the calls of one service. Calls wait for a thread in a bounded queue.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many jobs may wait for a thread.
const QUEUE: usize = 256;
/// How often the threads are looked at while their end is waited for.
const LOOK: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads.
#[derive(Debug)]
pub(super) struct ThreadPool {
    jobs: SyncSender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses one.
    pub(super) fn start(name: &str, count: usize) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |_| {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&waiting))
        };
        let threads = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { jobs, threads })
    }

    /// Has a thread do the job, as soon as one is free. `false` if too many jobs wait already; then the job
    /// is dropped.
    #[must_use]
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.jobs.try_send(Box::new(job)).is_ok()
    }

    /// Waits until all jobs are done, those that wait included, but not for longer than this.
    pub(super) fn finish(self, limit: Duration) {
        drop(self.jobs);
        join(self.threads, limit);
    }
}

/// Waits until threads have ended, but not for longer than this.
pub(super) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>, limit: Duration) {
    let until = Instant::now() + limit;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else {
            return;
        };
        // The next job may be another caller's, who has nothing to do with it.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a thread panicked over a call, which gets no answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn jobs_are_done_beside_each_other_and_all_before_the_end() {
        let pool = ThreadPool::start("test", 2).unwrap();
        let (release, held) = channel::<()>();
        let (done, told) = channel();
        let first = done.clone();
        assert!(pool.run(move || {
            held.recv_timeout(PATIENCE).unwrap();
            first.send(1).unwrap();
        }));
        let second = done.clone();
        assert!(pool.run(move || second.send(2).unwrap()));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(2), "the first one hangs");
        for number in 3..100 {
            let more = done.clone();
            assert!(pool.run(move || more.send(number).unwrap()));
        }
        drop(done);
        release.send(()).unwrap();
        pool.finish(PATIENCE);
        assert_eq!(told.iter().count(), 98);
    }

    #[test]
    fn a_panic_ends_no_thread() {
        let pool = ThreadPool::start("test", 1).unwrap();
        assert!(pool.run(|| panic!("on purpose")));
        let (done, told) = channel();
        assert!(pool.run(move || done.send(()).unwrap()));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
    }

    #[test]
    fn a_queue_that_is_full_takes_no_more() {
        let pool = ThreadPool::start("test", 1).unwrap();
        let (release, held) = channel::<()>();
        assert!(pool.run(move || {
            let _released = held.recv();
        }));
        let taken = (0..2 * QUEUE).take_while(|_| pool.run(|| ())).count();
        assert!((QUEUE - 1..=QUEUE).contains(&taken), "{taken}");
        drop(release);
        pool.finish(PATIENCE);
    }
}
