//! The side of the proxy at which a node has its tunnel: another proxy has proved its announced key, and asks
//! for a channel that leads into the tunnel. Nothing else is served to it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ssh_key::PublicKey;
use tokio::io::copy_bidirectional;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::directory::{PeerParts, Peers, TERMS, TUNNEL};
use super::link::{Link, LinkError};
use super::status::StreamStatus;
use crate::audit::{AuditEvent, AuditLog, NotPassed, Party, RefusedKind};
use crate::cert::PresentedKey;
use crate::model::{ConnectionId, NodeId, UserName, chain};
use crate::ssh::channel::ChannelStream;
use crate::ssh::endpoint::{Answer, OpenAnswered, OpenRequest, PendingSession, Services};
use crate::ssh::leg::{Leg, LegError};
use crate::ssh::outer::ClientStream;
use crate::ssh::refusal::{self, Refusal, SHUTTING_DOWN};
use crate::ssh::services::OuterServices;
use crate::ssh::tunnels::{OPEN_TIMEOUT, TunnelError, Tunnels};
use crate::wire::DisconnectReason;
use crate::wire::connection::{Breach, Fields, KEEP_ALIVE, OpenFailure};

/// What is refused before the connection ends.
const MAX_REFUSED: u32 = 16;
/// Longest text of a node's id, in bytes.
const MAX_ID: usize = 64;

/// Another proxy, which has proved a key that it has announced. There is none without that.
#[derive(Debug)]
pub(crate) struct ProvedPeer {
    fingerprint: String,
}

impl ProvedPeer {
    /// What its connections are counted under.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", UserName::PEER, self.fingerprint)
    }
}

impl Peers {
    /// Decides whether a client that has proved this key is another proxy.
    ///
    /// # Errors
    /// The refusal for it.
    pub(crate) async fn admit(&self, key: &PresentedKey) -> Result<ProvedPeer, Refusal> {
        match self.knows(PublicKey::from(key.key_data().clone())).await {
            Ok(true) => Ok(ProvedPeer {
                fingerprint: key.fingerprint().to_string(),
            }),
            Ok(false) => Err(refusal::unknown_peer()),
            Err(error) => {
                tracing::error!(error = %chain(&error), "cannot ask about another proxy");
                Err(refusal::peers_unavailable(&error))
            }
        }
    }
}

/// Serves another proxy until it leaves, its stream is over, or `shutdown` ends it. `tasks` are those of its
/// stream.
pub(crate) async fn serve<S: ClientStream>(
    services: Arc<OuterServices>,
    peer: ProvedPeer,
    (address, id): (SocketAddr, ConnectionId),
    leg: Leg<S>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) {
    // No key is asked about without them.
    let Some(PeerParts { peers, tunnels }) = &services.peers else {
        return;
    };
    let audit = &services.audit;
    let share = services.budget.account(&peer.name()).node();
    audit.emit_or_log(&AuditEvent::AuthSuccess {
        leg: Party::Client,
        user: UserName::PEER.to_owned(),
        login: None,
        client_addr: address,
        serial: None,
        fingerprint: peer.fingerprint,
        sign_in: None,
        connection: Some(id),
    });
    let mut link = Link::new(leg, Some(share));
    let over = CancellationToken::new();
    let mut front = PeerFront {
        peers: peers.clone(),
        tunnels: tunnels.clone(),
        audit: audit.clone(),
        address,
        id,
        refused: 0,
        over: over.clone(),
        tasks,
    };
    let _ends_streams = over.drop_guard();
    let ended = tokio::select! {
        ended = link.run(&mut front) => ended,
        () = shutdown.cancelled() => {
            let leg = link.hang_up();
            return leg.disconnect(DisconnectReason::ByApplication, SHUTTING_DOWN).await;
        }
    };
    let leg = link.hang_up();
    match ended {
        Ok(()) | Err(LinkError::Leg(LegError::Closed | LegError::Disconnected { .. })) => {}
        Err(error) => {
            tracing::info!(client = %address, %error, "ended the connection of another proxy");
            let text = format!("rproxy: {error}");
            leg.disconnect(DisconnectReason::ByApplication, &text).await;
        }
    }
}

/// What one connection of another proxy is served.
#[derive(Debug)]
struct PeerFront {
    peers: Peers,
    tunnels: Tunnels,
    audit: AuditLog,
    address: SocketAddr,
    id: ConnectionId,
    refused: u32,
    /// Cancelled when the connection is over.
    over: CancellationToken,
    tasks: TaskTracker,
}

impl PeerFront {
    fn count_refused(&mut self) -> Result<(), Breach> {
        self.refused += 1;
        match self.refused > MAX_REFUSED {
            true => Err(Breach::TooMuchRefused),
            false => Ok(()),
        }
    }

    fn audit_refused(&mut self, what: RefusedKind, name: &str) -> Result<(), Breach> {
        self.count_refused()?;
        let not_passed = NotPassed {
            what,
            from: "client",
            name: name.to_owned(),
            detail: None,
            user: UserName::PEER.to_owned(),
            login: None,
            target: None,
            client_addr: self.address,
            connection: Some(self.id),
            session: None,
        };
        self.audit.emit_or_log(&not_passed.event(false));
        Ok(())
    }

    /// Lets the channel lead into the tunnel of a node.
    fn lead(&self, stream: ChannelStream, node: NodeId, permit: OwnedSemaphorePermit) {
        let (tunnels, over) = (self.tunnels.clone(), self.over.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = lead(stream, &tunnels, node) => {}
                () = over.cancelled() => {}
            }
            drop(permit);
        });
    }
}

/// Carries the bytes between the channel and the node's sshd. They are encrypted.
async fn lead(mut stream: ChannelStream, tunnels: &Tunnels, node: NodeId) {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let dialled = match tunnels.is_open(node) {
        true => tunnels.dial_here(node, deadline).await,
        false => Err(LegError::from(TunnelError::None)),
    };
    let status = match &dialled {
        Ok(_) => StreamStatus::Open,
        Err(LegError::Tunnel(TunnelError::Refused(why))) => StreamStatus::Refused(why.clone()),
        Err(error) => StreamStatus::Failed(error.to_string()),
    };
    if let (Ok(()), Ok(mut host)) = (status.write(&mut stream).await, dialled) {
        // It ends with the host's bytes, or with the other proxy's; both sides know how it ended.
        let _counts = copy_bidirectional(&mut stream, &mut host).await;
    }
}

/// The node that a channel is to lead to.
fn node(data: &Bytes) -> Option<NodeId> {
    let mut fields = Fields::of_open(data);
    let id = fields.string_of(MAX_ID).ok()?;
    fields.end().ok()?;
    std::str::from_utf8(&id).ok()?.parse().ok()
}

impl Services for PeerFront {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        if request.kind() != TUNNEL {
            self.audit_refused(RefusedKind::Channel, request.kind())?;
            let reason = OpenFailure::AdministrativelyProhibited;
            return Ok(request.refuse(reason, "only streams to nodes are served to other proxies"));
        }
        let Some(node) = node(request.data()) else {
            self.audit_refused(RefusedKind::Channel, TUNNEL)?;
            return Ok(request.refuse(OpenFailure::ConnectFailed, "that is no id of a node"));
        };
        let permit = Arc::clone(&self.peers.0.coming_in).try_acquire_owned();
        let permit = permit.ok().filter(|_| request.channels_of_peer() == 0);
        let Some(permit) = permit else {
            self.count_refused()?;
            let text = "as many streams come from other proxies as may";
            return Ok(request.refuse(OpenFailure::ResourceShortage, text));
        };
        let (answered, stream) = request.accept(TERMS);
        self.lead(stream, node, permit);
        Ok(answered)
    }

    fn on_request(
        &mut self,
        _session: &mut Option<PendingSession>,
        kind: &str,
        _data: &Bytes,
    ) -> Result<Answer, Breach> {
        self.audit_refused(RefusedKind::ChannelRequest, kind)?;
        Ok(Answer::Failure)
    }

    fn on_global_request(&mut self, name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        if name != KEEP_ALIVE {
            self.audit_refused(RefusedKind::GlobalRequest, name)?;
        }
        Ok(Answer::Failure)
    }

    fn on_opened(&mut self, _number: u32, stream: ChannelStream) {
        // This side opens none, and the endpoint takes no answer to what was not asked.
        drop(stream);
    }

    fn on_not_opened(&mut self, _number: u32, _text: &Bytes) {}
}
