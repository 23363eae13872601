//! The listener: accepts clients and gives each to one worker thread.
//!
//! A worker thread has a runtime of its own. All tasks of one client's connection stay on one
//! worker thread, so that relaying a packet wakes no other thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outer;
use super::services::OuterServices;
use crate::net::{
    ConnectionGuard, ConnectionLimiter, ConnectionLimits, Rejected, RuntimeProbe, canonical,
};

/// How many rejected clients may wait for a worker thread, in addition to the admitted ones.
const QUEUE_MARGIN: usize = 64;
/// How long to wait after an accept failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The worker threads and their queues.
#[derive(Debug)]
pub struct ServingThreads {
    queues: Vec<mpsc::Sender<Client>>,
    threads: Vec<JoinHandle<()>>,
    runtimes: Vec<Handle>,
    door: ConnectionLimiter,
}

/// A client on its way to a worker thread.
#[derive(Debug)]
struct Client {
    stream: std::net::TcpStream,
    address: SocketAddr,
    admission: Result<ConnectionGuard, Rejected>,
}

impl ServingThreads {
    /// Starts `count` worker threads. They exit once no client is accepted any more and every connection
    /// has ended. `shutdown` ends the connections; the threads exit at most `grace` after it.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be created.
    pub(crate) fn start(
        services: &Arc<OuterServices>,
        limits: ConnectionLimits,
        count: usize,
        shutdown: &CancellationToken,
        grace: Duration,
    ) -> io::Result<Self> {
        let mut workers = Self {
            queues: Vec::new(),
            threads: Vec::new(),
            runtimes: Vec::new(),
            door: ConnectionLimiter::new(limits),
        };
        // The queues are large enough for every admitted client.
        let places = usize::try_from(limits.connections).unwrap_or(usize::MAX);
        let places = places
            .saturating_add(QUEUE_MARGIN)
            .min(tokio::sync::Semaphore::MAX_PERMITS);
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(places);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            workers.runtimes.push(runtime.handle().clone());
            let work = work(Arc::clone(services), receiver, shutdown.clone(), grace);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    runtime.block_on(work);
                })?;
            workers.queues.push(sender);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Probes whether the worker threads' event loops run.
    #[must_use]
    pub fn pulse(&self) -> RuntimeProbe {
        RuntimeProbe::new(self.runtimes.clone())
    }

    /// Waits until all worker threads have exited. Blocks for as long as there are connections.
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
    services: Arc<OuterServices>,
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
        let services = Arc::clone(&services);
        match admission {
            Ok(admission) => {
                let (shutdown, more) = (shutdown.clone(), tasks.clone());
                tasks.spawn(outer::serve(
                    services, stream, address, admission, shutdown, more,
                ));
            }
            Err(away) => {
                tasks.spawn(outer::turn_away(services, stream, address, away));
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
