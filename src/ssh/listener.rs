//! The listener: accepts clients and gives each to one worker.
//!
//! A worker is a thread with a runtime of its own. All tasks of one client's connection stay on one
//! worker, so that a packet's way through the proxy wakes no other thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::{ConnectionGuard, ConnectionLimiter, Rejected};
use super::{Proxy, canonical, outer};
use crate::session::settled;

/// Clients that are turned away and may wait for a worker beside those who are let in.
const QUEUE_MARGIN: usize = 64;
/// How long to wait after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The workers and the way to them.
#[derive(Debug)]
pub struct ServingThreads {
    queues: Vec<mpsc::Sender<Client>>,
    threads: Vec<JoinHandle<()>>,
    runtimes: Vec<Handle>,
    door: ConnectionLimiter,
}

/// Feels whether threads turn, from another one. Clones feel the same.
#[derive(Clone, Debug)]
pub struct RuntimeProbe {
    runtimes: Vec<Handle>,
}

/// What a [`RuntimeProbe`] has felt: how many threads are how.
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
    /// Feels the thread of this runtime too.
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
                    // What waits there is not added to by who asks again.
                    answer.abort();
                    heard.late += 1;
                }
            }
        }
        heard
    }
}

/// A client on its way to a worker.
#[derive(Debug)]
struct Client {
    stream: std::net::TcpStream,
    address: SocketAddr,
    admission: Result<ConnectionGuard, Rejected>,
}

impl ServingThreads {
    /// Starts `count` workers. They end once nobody is accepted any more and every connection is done,
    /// which `shutdown` ends, and at the latest `grace` after that.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(
        proxy: &Arc<Proxy>,
        count: usize,
        shutdown: &CancellationToken,
        grace: Duration,
    ) -> io::Result<Self> {
        let mut workers = Self {
            queues: Vec::new(),
            threads: Vec::new(),
            runtimes: Vec::new(),
            door: ConnectionLimiter::new(proxy.limits),
        };
        // Nobody who was let in at the door is lost on the way.
        let places = usize::try_from(proxy.limits.connections).unwrap_or(usize::MAX);
        let places = places
            .saturating_add(QUEUE_MARGIN)
            .min(tokio::sync::Semaphore::MAX_PERMITS);
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(places);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            workers.runtimes.push(runtime.handle().clone());
            let work = work(Arc::clone(proxy), receiver, shutdown.clone(), grace);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    runtime.block_on(async {
                        work.await;
                        settled(grace).await;
                    });
                })?;
            workers.queues.push(sender);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Whether the workers turn.
    #[must_use]
    pub fn pulse(&self) -> RuntimeProbe {
        RuntimeProbe {
            runtimes: self.runtimes.clone(),
        }
    }

    /// Waits until all workers have ended. Blocks for as long as there are connections.
    pub fn join(self) {
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }

    /// Accepts clients until `closing` is cancelled.
    pub async fn accept(&self, listener: &TcpListener, closing: &CancellationToken) {
        let mut turn = (0..self.queues.len()).cycle();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = closing.cancelled() => return,
            };
            let (stream, address) = match accepted {
                Ok((stream, address)) => match stream.into_std() {
                    Ok(stream) => (stream, address),
                    Err(error) => {
                        tracing::warn!(%error, "lost a client");
                        continue;
                    }
                },
                Err(error) => {
                    // Out of file descriptors, or a client that left while it waited.
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let client = Client {
                stream,
                address,
                admission: self.door.admit(canonical(address.ip())),
            };
            let queue = turn.next().and_then(|number| self.queues.get(number));
            if queue.is_none_or(|queue| queue.try_send(client).is_err()) {
                tracing::warn!(client = %address, "too busy, dropped a client");
            }
        }
    }
}

async fn work(
    proxy: Arc<Proxy>,
    mut queue: mpsc::Receiver<Client>,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let tasks = TaskTracker::new();
    while let Some(client) = queue.recv().await {
        let Client {
            stream,
            address,
            admission,
        } = client;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, client = %address, "lost a client");
                continue;
            }
        };
        let proxy = Arc::clone(&proxy);
        match admission {
            Ok(admission) => {
                let (shutdown, more) = (shutdown.clone(), tasks.clone());
                tasks.spawn(outer::serve(
                    proxy, stream, address, admission, shutdown, more,
                ));
            }
            Err(away) => {
                tasks.spawn(outer::turn_away(proxy, stream, address, away));
            }
        }
    }
    tasks.close();
    tokio::select! {
        () = tasks.wait() => return,
        () = shutdown.cancelled() => {}
    }
    if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
        tracing::warn!("connections were still open after the grace period");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

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
        let pulse = RuntimeProbe {
            runtimes: vec![one.handle.clone()],
        };
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
