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

use super::outer::{self, ClientStream};
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
struct Client<A = std::net::TcpStream> {
    stream: A,
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
            let work = work(
                Arc::clone(services),
                receiver,
                TcpStream::from_std,
                shutdown.clone(),
                grace,
            );
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

/// Serves the clients of one worker thread. `open` takes the stream of each to the thread's runtime.
async fn work<A, S>(
    services: Arc<OuterServices>,
    mut queue: mpsc::Receiver<Client<A>>,
    open: impl Fn(A) -> io::Result<S>,
    shutdown: CancellationToken,
    grace: Duration,
) where
    S: ClientStream,
{
    let tasks = TaskTracker::new();
    while let Some(client) = queue.recv().await {
        let Client {
            stream,
            address,
            admission,
        } = client;
        let stream = match open(stream) {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::ssh::refusal::SHUTTING_DOWN;
    use crate::ssh::testing::client::stay;
    use crate::ssh::testing::{CLIENT, SshFixture};

    const LIMITS: ConnectionLimits = ConnectionLimits {
        connections: 2,
        per_address: 10,
        per_user: 10,
        starting: 10,
    };
    const GRACE: Duration = Duration::from_millis(50);

    /// The clients of one worker thread, without the thread.
    struct ThreadFixture {
        queue: mpsc::Sender<Client<Option<DuplexStream>>>,
        door: ConnectionLimiter,
    }

    impl ThreadFixture {
        /// A client arrives, whose stream can be used, or is lost on its way to the thread.
        async fn arrives(&self, room: usize, is_lost: bool) -> DuplexStream {
            let (near, far) = duplex(room);
            let client = Client {
                stream: (!is_lost).then_some(near),
                address: CLIENT,
                admission: self.door.admit(CLIENT.ip()),
            };
            self.queue.send(client).await.unwrap();
            far
        }
    }

    /// Serves clients in memory until the queue is dropped.
    fn served(
        proxy: &SshFixture,
        shutdown: &CancellationToken,
    ) -> (ThreadFixture, impl Future<Output = ()> + Send + use<>) {
        let (queue, arriving) = mpsc::channel(8);
        let open = |stream: Option<DuplexStream>| stream.ok_or_else(|| io::Error::other("lost"));
        let services = Arc::new(proxy.outer());
        let work = work(services, arriving, open, shutdown.clone(), GRACE);
        let door = ConnectionLimiter::new(LIMITS);
        (ThreadFixture { queue, door }, work)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_lost_takes_no_other_with_it_and_its_place_is_free() {
        let proxy = SshFixture::new();
        let (served, work) = served(&proxy, &CancellationToken::new());
        tokio::spawn(work);
        let _lost = served.arrives(1 << 20, true).await;
        let first = proxy
            .user()
            .log_in(served.arrives(1 << 20, false).await)
            .await;
        let second = proxy
            .user()
            .log_in(served.arrives(1 << 20, false).await)
            .await;
        assert!(first.0.is_in && second.0.is_in, "{first:?} {second:?}");
        let third = served.arrives(1 << 20, false).await;
        let (saw, _) = proxy.user().log_in(third).await;
        let told = "too many connections: the limit is 2";
        assert!(!saw.is_in && saw.text().contains(told), "{saw:?}");
    }

    /// Connections go on when no client is accepted any more, and end with the proxy.
    #[tokio::test(start_paused = true)]
    async fn a_thread_serves_until_its_last_connection_ends_or_the_proxy_does() {
        let proxy = SshFixture::new();
        for ends_by_itself in [true, false] {
            let shutdown = CancellationToken::new();
            let (served, work) = served(&proxy, &shutdown);
            let work = tokio::spawn(work);
            let (_, mut leg) = proxy
                .user()
                .log_in(served.arrives(1 << 20, false).await)
                .await;
            drop(served);
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert!(!work.is_finished());
            if ends_by_itself {
                drop(leg);
            } else {
                shutdown.cancel();
                assert_eq!(stay(&mut leg).await.as_deref(), Some(SHUTTING_DOWN));
            }
            work.await.unwrap();
        }
    }

    /// A client that does not read what it is told does not hold up the end of the proxy.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_has_a_grace_period_and_no_more() {
        let proxy = SshFixture::new();
        let shutdown = CancellationToken::new();
        let (served, work) = served(&proxy, &shutdown);
        let mut work = pin!(work);
        let _client = served.arrives(8, false).await;
        drop(served);
        let day = Duration::from_secs(86_400);
        let early = tokio::time::timeout(Duration::from_secs(1), &mut work).await;
        assert!(early.is_err());
        shutdown.cancel();
        let began = Instant::now();
        tokio::time::timeout(day, work).await.expect("it ends");
        assert_eq!(began.elapsed(), GRACE);
    }

    /// The same with sockets and threads: every admitted client has a place in a queue.
    #[tokio::test]
    async fn clients_are_accepted_until_the_listener_closes() {
        let proxy = SshFixture::new();
        let (shutdown, closing) = (CancellationToken::new(), CancellationToken::new());
        let services = Arc::new(proxy.outer());
        let threads = ServingThreads::start(&services, LIMITS, 3, &shutdown, GRACE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = async {
            let mut admitted = Vec::new();
            for _ in 0..2 {
                let mut client = TcpStream::connect(address).await.unwrap();
                let mut ident = [0; 8];
                client.read_exact(&mut ident).await.unwrap();
                assert_eq!(&ident, b"SSH-2.0-");
                admitted.push(client);
            }
            let mut away = TcpStream::connect(address).await.unwrap();
            assert!(
                said(&mut away)
                    .await
                    .contains("too many connections: the limit is 2")
            );
            closing.cancel();
            admitted
        };
        let ((), admitted) = tokio::join!(threads.accept(&listener, &closing), clients);
        shutdown.cancel();
        for mut client in admitted {
            assert!(said(&mut client).await.contains(SHUTTING_DOWN));
        }
        tokio::task::spawn_blocking(move || threads.join())
            .await
            .unwrap();
    }

    /// Everything that a server says to a client that does not speak.
    async fn said(client: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
