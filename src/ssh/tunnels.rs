//! The tunnels that nodes keep open to this process, and streams through them.
//!
//! A tunnel is the connection of a node's own `ssh -N -R`. Its connection takes requests for streams
//! ([`TunnelOpener`]) and holds a [`TunnelGuard`]; whoever dials a node finds its newest tunnel here, and
//! waits for one if there is none. If proxies share a state, the tunnel can be at another one (`peers`).

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::channel::ChannelStream;
use super::leg::LegError;
pub(crate) use super::tunnel_error::{OPEN_TIMEOUT, TunnelError};
use crate::model::NodeId;

/// How long the tunnels of a node that was locked or removed stay, for what is told to users through them.
const CLOSING: Duration = Duration::from_secs(1);
/// Requests for streams that may wait until the connection of the tunnel takes them.
const WAITING: usize = 16;

/// Where the result of one request for a stream is sent.
pub(crate) type TunnelRequest = oneshot::Sender<Result<ChannelStream, TunnelError>>;

/// Asks the connection of one tunnel for streams.
#[derive(Clone, Debug)]
pub(crate) struct TunnelOpener {
    requests: mpsc::Sender<TunnelRequest>,
}

impl TunnelOpener {
    /// An opener, and where its requests arrive.
    pub(crate) fn new() -> (Self, mpsc::Receiver<TunnelRequest>) {
        let (requests, receiver) = mpsc::channel(WAITING);
        (Self { requests }, receiver)
    }

    /// Opens a stream. Cancel-safe: a stream that is opened later is closed.
    async fn open(&self, deadline: Instant) -> Result<ChannelStream, TunnelError> {
        let (sender, receiver) = oneshot::channel();
        let opened = async {
            let asked = self.requests.send(sender).await;
            asked.map_err(|_closed| TunnelError::Ended)?;
            receiver.await.unwrap_or(Err(TunnelError::Ended))
        };
        let deadline = deadline.min(Instant::now() + OPEN_TIMEOUT);
        let opened = timeout_at(deadline, opened).await;
        opened.unwrap_or(Err(TunnelError::Silent))
    }
}

/// A tunnel whose connection is alive.
#[derive(Debug)]
struct LiveTunnel {
    generation: u64,
    opener: TunnelOpener,
    /// A newer tunnel of the node has been opened.
    overtaken: CancellationToken,
    /// When it is to end, once it is known.
    closed: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
struct TunnelTable {
    /// The live tunnels of each node, the newest last.
    live: Mutex<OpenTunnels>,
    /// Changes with each tunnel that opens or ends.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct OpenTunnels {
    tunnels: BTreeMap<NodeId, Vec<LiveTunnel>>,
    generations: u64,
}

impl TunnelTable {
    /// A panic in another thread cannot leave the map half changed: no method calls other code while it
    /// holds the lock.
    fn lock(&self) -> MutexGuard<'_, OpenTunnels> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a stream to a node is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelPatience {
    /// No longer than until then.
    pub(crate) deadline: Instant,
    /// Whether a tunnel is waited for that is not open.
    pub(crate) awaits_tunnel: bool,
}

/// A tunnel is waited for until then.
impl From<Instant> for TunnelPatience {
    fn from(deadline: Instant) -> Self {
        Self {
            deadline,
            awaits_tunnel: true,
        }
    }
}

/// An answer that takes a while.
pub(crate) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The tunnels that nodes keep open to other proxies.
pub(crate) trait OtherTunnels: fmt::Debug + Send + Sync {
    /// Opens a stream to the sshd of a node through its tunnel elsewhere, and may wait for a tunnel. Cancel-safe.
    /// The error is [`TunnelError::None`] if the node has no tunnel anywhere.
    fn dial(
        &self,
        node: NodeId,
        patience: TunnelPatience,
    ) -> Later<'_, Result<ChannelStream, TunnelError>>;

    /// Whether the node has a tunnel elsewhere, as far as that is known.
    fn has(&self, node: NodeId) -> Later<'_, bool>;
}

/// The tunnels of all nodes. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tunnels {
    shared: Arc<TunnelTable>,
    /// Those to other proxies.
    others: Option<Arc<dyn OtherTunnels>>,
}

impl Tunnels {
    /// The node has opened a tunnel, which counts until the guard is dropped. Streams are opened through
    /// the newest tunnel of a node.
    pub(crate) fn open(&self, node: NodeId, opener: TunnelOpener) -> TunnelGuard {
        let (overtaken, closed) = (CancellationToken::new(), watch::Sender::new(None));
        let mut live = self.shared.lock();
        live.generations += 1;
        let generation = live.generations;
        let tunnels = live.tunnels.entry(node).or_default();
        for older in tunnels.iter() {
            older.overtaken.cancel();
        }
        tunnels.push(LiveTunnel {
            generation,
            opener,
            overtaken: overtaken.clone(),
            closed: closed.clone(),
        });
        drop(live);
        self.shared.changed.send_replace(());
        TunnelGuard {
            tunnels: self.clone(),
            node,
            generation,
            overtaken,
            closed,
        }
    }

    /// None, and tunnels to other proxies count too.
    #[must_use]
    pub(crate) fn with_others(others: Option<Arc<dyn OtherTunnels>>) -> Self {
        Self {
            shared: Arc::default(),
            others,
        }
    }

    /// Whether there are other proxies on the same state.
    pub(crate) fn is_shared(&self) -> bool {
        self.others.is_some()
    }

    /// Opens a stream to the sshd of a node through its newest tunnel, at this proxy or at another one. With
    /// a deadline alone, a tunnel is waited for if there is none. Cancel-safe.
    ///
    /// # Errors
    /// [`LegError::Tunnel`]: there was no tunnel, or it has opened no stream.
    pub(crate) async fn dial(
        &self,
        node: NodeId,
        patience: impl Into<TunnelPatience>,
    ) -> Result<ChannelStream, LegError> {
        let patience = patience.into();
        let deadline = patience.deadline;
        let mut failure = TunnelError::None;
        if self.is_open(node) {
            match self.dial_here(node, deadline).await {
                // The node may have a newer tunnel elsewhere.
                Err(LegError::Tunnel(error @ (TunnelError::Silent | TunnelError::None)))
                    if self.others.is_some() =>
                {
                    failure = error;
                }
                dialled => return dialled,
            }
        }
        match (&self.others, patience.awaits_tunnel) {
            (None, true) => self.dial_here(node, deadline).await,
            (None, false) => Err(failure.into()),
            (Some(others), true) => self.dial_anywhere(others.as_ref(), node, deadline).await,
            (Some(others), false) => match others.dial(node, patience).await {
                Err(TunnelError::None) => Err(failure.into()),
                dialled => Ok(dialled?),
            },
        }
    }

    /// Opens a stream through the first tunnel that does, here or elsewhere.
    async fn dial_anywhere(
        &self,
        others: &dyn OtherTunnels,
        node: NodeId,
        deadline: Instant,
    ) -> Result<ChannelStream, LegError> {
        let here = self.dial_here(node, deadline);
        let mut there = others.dial(node, deadline.into());
        tokio::pin!(here);
        tokio::select! {
            biased;
            dialled = &mut there => match dialled {
                Ok(stream) => Ok(stream),
                // The node has a tunnel, and nothing is behind it.
                Err(error @ TunnelError::Refused(_)) => Err(error.into()),
                Err(error) => match here.await {
                    Err(LegError::Tunnel(TunnelError::None)) => {
                        Err(error.into())
                    }
                    dialled => dialled,
                },
            },
            dialled = &mut here => dialled,
        }
    }

    /// The same, through a tunnel at this proxy only.
    ///
    /// # Errors
    /// As [`Tunnels::dial`].
    pub(crate) async fn dial_here(
        &self,
        node: NodeId,
        deadline: Instant,
    ) -> Result<ChannelStream, LegError> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            // Marks what is known as seen before the tunnel is looked up, so that no change is missed.
            changed.borrow_and_update();
            let waited = match self.newest(node) {
                Some((generation, opener)) => tokio::select! {
                    opened = opener.open(deadline) => match opened {
                        // What comes next is announced: the end of this tunnel, if nothing else.
                        Err(TunnelError::Ended) => timeout_at(deadline, changed.changed()).await,
                        opened => return Ok(opened?),
                    },
                    // A tunnel that the node has replaced is seldom alive.
                    () = self.overtaken(node, generation, changed.clone()) => continue,
                },
                None => timeout_at(deadline, changed.changed()).await,
            };
            if !matches!(waited, Ok(Ok(()))) {
                return Err(TunnelError::None.into());
            }
        }
    }

    /// Waits until this tunnel is not the newest one of the node any more, and there is another one.
    async fn overtaken(&self, node: NodeId, generation: u64, mut changed: watch::Receiver<()>) {
        loop {
            changed.borrow_and_update();
            let newest = self.newest(node);
            if newest.is_some_and(|(newest, _)| newest != generation)
                || changed.changed().await.is_err()
            {
                return;
            }
        }
    }

    fn newest(&self, node: NodeId) -> Option<(u64, TunnelOpener)> {
        let live = self.shared.lock();
        let newest = live.tunnels.get(&node)?.last()?;
        Some((newest.generation, newest.opener.clone()))
    }

    /// Whether the node has a tunnel.
    pub(crate) fn is_open(&self, node: NodeId) -> bool {
        self.shared.lock().tunnels.contains_key(&node)
    }

    /// Whether the node has a tunnel, at this proxy or at another one.
    pub(crate) async fn is_open_anywhere(&self, node: NodeId) -> bool {
        match &self.others {
            _ if self.is_open(node) => true,
            Some(others) => others.has(node).await,
            None => false,
        }
    }

    /// Ends all tunnels of a node, and what runs through them: it was locked or removed. No stream is opened any
    /// more; the tunnels end in [`CLOSING`], so that users who are connected through them are told first, also
    /// those of other proxies.
    pub(crate) fn close(&self, node: NodeId) {
        let ended = self.shared.lock().tunnels.remove(&node);
        self.end(ended.into_iter().flatten());
    }

    /// The same for one tunnel: others of the node go on.
    fn close_one(&self, node: NodeId, generation: u64) {
        let mut live = self.shared.lock();
        let tunnels = live.tunnels.remove(&node).unwrap_or_default();
        let is_it = |tunnel: &LiveTunnel| tunnel.generation == generation;
        let (ended, others): (Vec<_>, Vec<_>) = tunnels.into_iter().partition(is_it);
        if !others.is_empty() {
            live.tunnels.insert(node, others);
        }
        drop(live);
        self.end(ended);
    }

    /// These tunnels, which are closed to those who dial, end soon.
    fn end(&self, tunnels: impl IntoIterator<Item = LiveTunnel>) {
        let at = Instant::now() + CLOSING;
        let mut has_ended = false;
        for tunnel in tunnels {
            tunnel.closed.send_replace(Some(at));
            has_ended = true;
        }
        if has_ended {
            self.shared.changed.send_replace(());
        }
    }
}

/// A tunnel that is open. Dropping it closes the tunnel to those who dial.
#[derive(Debug)]
pub(crate) struct TunnelGuard {
    tunnels: Tunnels,
    node: NodeId,
    generation: u64,
    overtaken: CancellationToken,
    /// When it is to end, once it is known.
    closed: watch::Sender<Option<Instant>>,
}

/// Ends one tunnel.
#[derive(Debug)]
pub(crate) struct TunnelCloser {
    tunnels: Tunnels,
    node: NodeId,
    generation: u64,
}

impl TunnelCloser {
    /// Ends the tunnel, and what runs through it, as [`Tunnels::close`] does.
    pub(crate) fn close(self) {
        self.tunnels.close_one(self.node, self.generation);
    }
}

impl TunnelGuard {
    /// What can end this tunnel from elsewhere.
    pub(crate) fn closer(&self) -> TunnelCloser {
        TunnelCloser {
            tunnels: self.tunnels.clone(),
            node: self.node,
            generation: self.generation,
        }
    }

    /// Waits until the node has opened a newer tunnel: this one ends with its last stream.
    pub(crate) async fn overtaken(&self) {
        self.overtaken.cancelled().await;
    }

    /// Waits until the tunnel is to end at once.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender is here.
        if let Ok(at) = closed.wait_for(Option::is_some).await.map(|at| *at) {
            sleep_until(at.unwrap_or_else(Instant::now)).await;
        }
    }
}

impl Drop for TunnelGuard {
    fn drop(&mut self) {
        let mut live = self.tunnels.shared.lock();
        if let Some(tunnels) = live.tunnels.get_mut(&self.node) {
            tunnels.retain(|tunnel| tunnel.generation != self.generation);
            if tunnels.is_empty() {
                live.tunnels.remove(&self.node);
            }
        }
        drop(live);
        self.tunnels.shared.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::ssh::channel::{ChannelPort, channel};

    type Dialling = JoinHandle<Result<ChannelStream, LegError>>;

    fn dial(tunnels: &Tunnels, node: NodeId, seconds: u64) -> Dialling {
        let (tunnels, deadline) = (
            tunnels.clone(),
            Instant::now() + Duration::from_secs(seconds),
        );
        tokio::spawn(async move { tunnels.dial(node, deadline).await })
    }

    fn why(dialled: Result<ChannelStream, LegError>) -> TunnelError {
        match dialled {
            Err(LegError::Tunnel(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Opens the stream that was asked for; what is delivered to it shows which tunnel did.
    async fn serve(requests: &mut mpsc::Receiver<TunnelRequest>, text: &str) -> ChannelPort {
        let (stream, port) = channel(Arc::new(Notify::new()));
        port.deliver(text.as_bytes());
        let request = requests.recv().await.unwrap();
        request.send(Ok(stream)).unwrap();
        port
    }

    async fn read(dialling: Dialling) -> String {
        let mut stream = dialling.await.unwrap().unwrap();
        let mut bytes = [0; 64];
        let length = stream.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_stream_leads_through_the_tunnel_of_its_node() {
        let tunnels = Tunnels::default();
        let (node, other) = (NodeId::new(), NodeId::new());
        assert!(!tunnels.is_open(node));
        let (opener, mut requests) = TunnelOpener::new();
        let guard = tunnels.open(node, opener);
        let (opener, _unused) = TunnelOpener::new();
        let _other = tunnels.open(other, opener);
        assert!(tunnels.is_open(node));
        let dialling = dial(&tunnels, node, 60);
        let _port = serve(&mut requests, "db1").await;
        assert_eq!(read(dialling).await, "db1");
        drop(guard);
        assert!(!tunnels.is_open(node));
        assert!(tunnels.is_open(other));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_dials_waits_for_a_tunnel_and_no_longer_than_the_deadline() {
        let tunnels = Tunnels::default();
        let node = NodeId::new();
        let dialling = dial(&tunnels, node, 20);
        tokio::time::sleep(Duration::from_secs(19)).await;
        let (opener, mut requests) = TunnelOpener::new();
        let guard = tunnels.open(node, opener);
        let _port = serve(&mut requests, "late").await;
        assert_eq!(read(dialling).await, "late");
        drop(guard);
        let dialling = dial(&tunnels, node, 20);
        let begun = Instant::now();
        assert_eq!(why(dialling.await.unwrap()), TunnelError::None);
        assert_eq!(begun.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_tunnel_wins_and_the_older_one_learns_that() {
        let tunnels = Tunnels::default();
        let node = NodeId::new();
        let (opener, mut of_older) = TunnelOpener::new();
        let older = tunnels.open(node, opener);
        // The older one is dead: it takes the request and never answers.
        let dialling = dial(&tunnels, node, 60);
        let unanswered = of_older.recv().await.unwrap();
        let (opener, mut of_newer) = TunnelOpener::new();
        let newer = tunnels.open(node, opener);
        older.overtaken().await;
        let _port = serve(&mut of_newer, "newer").await;
        assert_eq!(read(dialling).await, "newer");
        assert!(unanswered.is_closed(), "nobody waits for the older one");
        drop(older);
        let dialling = dial(&tunnels, node, 60);
        let _port = serve(&mut of_newer, "newer").await;
        assert_eq!(read(dialling).await, "newer");
        // The end of the newest one makes the older one count again.
        let (opener, _of_newest) = TunnelOpener::new();
        drop(tunnels.open(node, opener));
        let dialling = dial(&tunnels, node, 60);
        let _port = serve(&mut of_newer, "newer").await;
        assert_eq!(read(dialling).await, "newer");
        drop(newer);
        assert!(!tunnels.is_open(node));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_ends_meanwhile_is_replaced_by_the_next_one() {
        let tunnels = Tunnels::default();
        let node = NodeId::new();
        let (opener, mut requests) = TunnelOpener::new();
        let guard = tunnels.open(node, opener);
        let dialling = dial(&tunnels, node, 60);
        let taken = requests.recv().await.unwrap();
        drop((taken, requests, guard));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (opener, mut requests) = TunnelOpener::new();
        let _guard = tunnels.open(node, opener);
        let _port = serve(&mut requests, "again").await;
        assert_eq!(read(dialling).await, "again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_refuses_or_does_not_answer_is_not_waited_for() {
        let tunnels = Tunnels::default();
        let node = NodeId::new();
        let (opener, mut requests) = TunnelOpener::new();
        let _guard = tunnels.open(node, opener);
        let dialling = dial(&tunnels, node, 60);
        let refused = TunnelError::Refused("Connection refused".to_owned());
        let request = requests.recv().await.unwrap();
        request.send(Err(refused.clone())).unwrap();
        assert_eq!(why(dialling.await.unwrap()), refused);
        let begun = Instant::now();
        assert_eq!(
            why(dial(&tunnels, node, 60).await.unwrap()),
            TunnelError::Silent
        );
        assert_eq!(begun.elapsed(), OPEN_TIMEOUT);
        assert!(requests.recv().await.unwrap().is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_locked_loses_all_its_tunnels() {
        let tunnels = Tunnels::default();
        let (node, other) = (NodeId::new(), NodeId::new());
        let guards: Vec<TunnelGuard> = [node, node, other]
            .into_iter()
            .map(|node| tunnels.open(node, TunnelOpener::new().0))
            .collect();
        tunnels.close(node);
        guards[0].closed().await;
        guards[1].closed().await;
        assert!(!tunnels.is_open(node));
        let closed = tokio::time::timeout(Duration::from_secs(9), guards[2].closed());
        assert!(closed.await.is_err(), "the other node keeps its tunnel");
        drop(guards);
        assert!(tunnels.shared.lock().tunnels.is_empty());
    }
}
