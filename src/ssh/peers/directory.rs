//! Which proxies there are, as the process with the state knows it; and what both sides of a connection
//! between two of them keep to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ssh_key::PublicKey;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::dns::Resolver;
use crate::ipc::{self, Announcement, PeerProxy, PeersAnswer, PeersRequest, Service};
use crate::model::NodeId;
use crate::ssh::channel::{MAX_PACKET, Terms};
use crate::ssh::compute::ComputeQueue;
use crate::ssh::leg::LegError;
use crate::ssh::timers::TimeLimits;
use crate::ssh::trust::CurrentTrust;
use crate::ssh::tunnels::Tunnels;
use crate::ssh::waiting_line::{AskError, WaitingLine};

/// The type of the channel that leads into a node's tunnel. Its data is the node's id, as a string.
pub(super) const TUNNEL: &str = "tunnel@rproxy";
/// How often this proxy announces itself.
const ANNOUNCE: Duration = Duration::from_secs(10);
/// Streams to other proxies, and from them, at a time. Each is a connection of its own, so that none has to
/// wait for another one.
const MAX_STREAMS: usize = 1_024;
/// Bytes that may be on their way on a channel.
const WINDOW: u32 = 1024 * 1024;
/// What is taken on a channel between proxies.
pub(super) const TERMS: Terms = Terms {
    window: WINDOW,
    max_window: WINDOW,
    max_packet: MAX_PACKET,
};
/// When a proxy that does not answer any more is given up.
pub(super) const LIMITS: TimeLimits = TimeLimits {
    idle: Duration::ZERO,
    ends_with_certificate: false,
    keep_alive_interval: Duration::from_secs(15),
    keep_alive_count_max: 3,
};

/// Why another proxy gives no stream to a node.
#[derive(Debug, Error)]
pub(crate) enum PeerError {
    /// Where the node is cannot be asked.
    #[error("cannot ask at which proxy the host's tunnel is")]
    Ask(#[from] AskError),
    /// The process that has the state cannot read it.
    #[error(
        "the state of the proxy cannot be read, which says at which proxy the host's tunnel is"
    )]
    Unavailable,
    /// No other proxy that can be reached has a tunnel of it.
    #[error("the host has no tunnel open to any proxy")]
    Nowhere,
    /// There are as many streams as there may be.
    #[error("{MAX_STREAMS} streams lead to other proxies already")]
    Crowded,
    /// The proxy does not have a name that can be found, or does not answer.
    #[error("the proxy {0}, where the host's tunnel is, cannot be reached")]
    Unreachable(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something else answers at its address, or it has been started anew and has not announced it yet.
    #[error("what answers at {0} has not the host key that the proxy there has announced")]
    Impostor(String),
    /// It does not accept this proxy.
    #[error("the proxy {0} does not accept this proxy: it finds no announcement of it")]
    Unwelcome(String),
    /// It says why it gives no stream. The tunnel may be back soon, there or elsewhere.
    #[error("the proxy {0}, where the host's tunnel should be, says: {1}")]
    Failed(String, String),
    /// The host's tunnel is there, and the host's ssh has refused the stream, with this text.
    #[error("the proxy {0}, where the host's tunnel is, says that the host's ssh has refused: {1}")]
    Refused(String, String),
}

/// What connections from other proxies use.
#[derive(Debug)]
pub(crate) struct PeerParts {
    /// The other proxies.
    pub(crate) peers: Peers,
    /// The tunnels to this process.
    pub(crate) tunnels: Tunnels,
}

/// What a worker knows of the other proxies. Clones share it.
#[derive(Clone)]
pub(crate) struct Peers(pub(super) Arc<PeerKnowledge>);

/// What all clones share.
pub(super) struct PeerKnowledge {
    service: Arc<dyn ipc::Peers>,
    /// Calls of the service at a time.
    calls: WaitingLine,
    pub(super) trust: CurrentTrust,
    pub(super) resolver: Resolver,
    pub(super) compute: ComputeQueue,
    /// Where the others reach this proxy.
    pub(super) address: Option<String>,
    /// Streams that lead to other proxies.
    pub(super) leading_out: Arc<Semaphore>,
    /// Streams that come from other proxies.
    pub(super) coming_in: Arc<Semaphore>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// `service` knows the others; they reach this proxy at `address`, as `host:port`, if at all. Its host
    /// key is in `trust`.
    #[must_use]
    pub(crate) fn new(
        service: Arc<dyn ipc::Peers>,
        address: Option<String>,
        trust: CurrentTrust,
        resolver: Resolver,
        compute: ComputeQueue,
    ) -> Self {
        Self(Arc::new(PeerKnowledge {
            service,
            calls: WaitingLine::new("users connect to hosts", Service::Peers.at_once()),
            trust,
            resolver,
            compute,
            address,
            leading_out: Arc::new(Semaphore::new(MAX_STREAMS)),
            coming_in: Arc::new(Semaphore::new(MAX_STREAMS)),
        }))
    }

    /// Announces this proxy again and again; once `closing` is cancelled, as one that others do not reach: the
    /// process that has replaced this one answers at its address.
    pub(crate) async fn announce(&self, closing: CancellationToken) {
        let mut is_told = false;
        loop {
            let announcement = Announcement {
                address: self.0.address.clone().filter(|_| !closing.is_cancelled()),
                key: self.0.trust.now().mint.host_key().clone(),
            };
            match self.ask(PeersRequest::Announce(announcement)).await {
                Ok(PeersAnswer::Noted) => is_told = false,
                Ok(_) if is_told => {}
                Err(_) if is_told => {}
                answer => {
                    is_told = true;
                    let error = answer.err().map(|error| error.to_string());
                    let error = error.unwrap_or_else(|| "the state cannot be written".to_owned());
                    tracing::error!(%error, "cannot announce this proxy to the others on its state");
                }
            }
            let pause = tokio::time::sleep(ANNOUNCE);
            match closing.is_cancelled() {
                true => pause.await,
                false => tokio::select! {
                    () = pause => {}
                    () = closing.cancelled() => {}
                },
            }
        }
    }

    /// The proxy at which the node has its tunnel, if it is another one and can be reached.
    ///
    /// # Errors
    /// That is not known.
    pub(super) async fn find(&self, node: NodeId) -> Result<Option<PeerProxy>, PeerError> {
        match self.ask(PeersRequest::Find(node)).await? {
            PeersAnswer::Found(found) => Ok(found),
            _ => Err(PeerError::Unavailable),
        }
    }

    /// Whether this is the host key of another proxy that is alive.
    pub(super) async fn knows(&self, key: PublicKey) -> Result<bool, PeerError> {
        match self.ask(PeersRequest::Knows(key)).await? {
            PeersAnswer::Known(is_known) => Ok(is_known),
            _ => Err(PeerError::Unavailable),
        }
    }

    async fn ask(&self, request: PeersRequest) -> Result<PeersAnswer, AskError> {
        let turn = self.0.calls.sure_turn().await?;
        let service = Arc::clone(&self.0.service);
        turn.ask(move || service.ask(request)).await
    }
}

/// A failure of a connection to another proxy, with what it broke at.
pub(super) fn unreachable(
    address: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PeerError {
    PeerError::Unreachable(address.to_owned(), error.into())
}

/// The same for a time limit.
pub(super) fn too_late(address: &str, limit: Duration) -> PeerError {
    unreachable(address, LegError::Timeout(limit))
}
