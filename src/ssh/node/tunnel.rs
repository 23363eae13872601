//! The tunnel on the connection of a node: what it has asked to forward, and the streams that are opened
//! through it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::HostClient;
use crate::ipc::{NodeRefusal, NodesAnswer, NodesQuestion};
use crate::model::NodeId;
use crate::model::text::Printable;
use crate::ssh::channel::{ChannelStream, MAX_PACKET, Terms, WINDOW};
use crate::ssh::endpoint::Endpoint;
use crate::ssh::tunnels::{
    TunnelCloser, TunnelError, TunnelGuard, TunnelOpener, TunnelRequest, Tunnels,
};
use crate::wire::connection::{FORWARDED_TCPIP, Fields, Head, MalformedMessage};

/// Streams that a tunnel may have.
const MAX_STREAMS: usize = 256;
/// Streams that a node may leave unopened.
const MAX_OPENING: usize = 16;
/// How long a node may leave a stream neither opened nor refused before its connection ends.
const UNANSWERED: Duration = Duration::from_secs(60);
/// Longest address that a node may name, in bytes.
const MAX_ADDRESS: usize = 255;
/// Longest text of a node about a channel that it does not open, in bytes.
const MAX_TEXT: usize = 200;
/// The pause after which the other process is told of a tunnel again that it could not note.
const TELL_AGAIN: Duration = Duration::from_secs(15);
/// The same for a tunnel that it has noted: it may have been restarted, and remembers nothing then.
const CONFIRM: Duration = Duration::from_secs(60);
/// Reasons for which a tunnel cannot be noted now, and is not refused.
const NOT_NOW: [&str; 3] = [NodeRefusal::UNAVAILABLE, "too-often", "busy"];

/// The address and port of a `tcpip-forward` request. Nothing is bound for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForwardedPort {
    address: Bytes,
    port: u32,
}

impl ForwardedPort {
    /// Reads the data of `tcpip-forward` and `cancel-tcpip-forward` (RFC 4254, 7.1).
    ///
    /// # Errors
    /// It is malformed, or the address is too long.
    pub(super) fn read(data: &Bytes) -> Result<Self, MalformedMessage> {
        let mut fields = Fields::of_global(data);
        let address = fields.string_of(MAX_ADDRESS)?;
        let port = fields.uint32()?;
        fields.end()?;
        Ok(Self {
            // A copy lets go of the packet.
            address: Bytes::copy_from_slice(&address),
            port,
        })
    }

    /// Whether it is a port. For 0 the proxy would have to choose one.
    pub(super) fn is_usable(&self) -> bool {
        (1..=u32::from(u16::MAX)).contains(&self.port)
    }

    /// What belongs to a `forwarded-tcpip` channel (RFC 4254, 7.2): where it leads, as it was asked for, and
    /// where it comes from.
    fn channel(&self) -> Bytes {
        let from = Head::of_data().string(&self.address).uint32(self.port);
        from.string(b"127.0.0.1").uint32(0).into_bytes()
    }
}

/// A tunnel that a node keeps.
#[derive(Debug)]
pub(super) struct Tunnel {
    port: ForwardedPort,
    guard: TunnelGuard,
    requests: mpsc::Receiver<TunnelRequest>,
    /// Dropped, it has the other process told that the tunnel has ended.
    reported: Option<DropGuard>,
    opened_at: Instant,
    /// Streams that the node has opened so far.
    streams: u64,
    /// Streams that the node has not opened yet, and since when.
    opening: BTreeMap<u32, (TunnelRequest, Instant)>,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelEnd {
    /// The host has disconnected, or its connection broke.
    HostLeft,
    /// The host does not answer any more.
    HostLost,
    /// The host has cancelled the forward.
    Cancelled,
    /// The node has a newer one.
    Replaced,
    /// This process accepts no client any more.
    Shutdown,
    /// The node is locked or removed, or the other process has refused the tunnel.
    NotPermitted,
    /// The host's ssh neither opens nor refuses a channel.
    ChannelsUnanswered,
    /// The host has broken the protocol.
    ProtocolError,
}

impl TunnelEnd {
    /// The stable name in the audit log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HostLeft => "host-left",
            Self::HostLost => "host-lost",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
            Self::Shutdown => "shutdown",
            Self::NotPermitted => "not-permitted",
            Self::ChannelsUnanswered => "channels-unanswered",
            Self::ProtocolError => "protocol-error",
        }
    }
}

/// What a tunnel waits for.
#[derive(Debug)]
pub(super) enum TunnelEvent {
    /// A stream is wanted.
    Wanted(TunnelRequest),
    /// The node has a newer tunnel.
    Overtaken,
    /// It is to end at once: the node is locked or removed.
    Closed,
}

impl Tunnel {
    /// A node opens a tunnel. Its future has the other process told, and ends after the tunnel.
    pub(super) fn open(
        node: NodeId,
        port: ForwardedPort,
        tunnels: &Tunnels,
        client: HostClient,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (opener, requests) = TunnelOpener::new();
        let guard = tunnels.open(node, opener);
        let ended = CancellationToken::new();
        let report = report(client, node, guard.closer(), ended.clone());
        let tunnel = Self {
            port,
            guard,
            requests,
            reported: Some(ended.drop_guard()),
            opened_at: Instant::now(),
            streams: 0,
            opening: BTreeMap::new(),
        };
        (tunnel, report)
    }

    /// Whether this is what the node has asked to forward.
    pub(super) fn is_of(&self, port: &ForwardedPort) -> bool {
        self.port == *port
    }

    /// The other process is told that the tunnel has ended: what runs through it goes on.
    pub(super) fn end_report(&mut self) {
        self.reported = None;
    }

    /// Waits for what comes next. Cancel-safe.
    pub(super) async fn next(&mut self, is_overtaken: bool) -> TunnelEvent {
        tokio::select! {
            () = self.guard.closed() => TunnelEvent::Closed,
            () = self.guard.overtaken(), if !is_overtaken => TunnelEvent::Overtaken,
            Some(request) = self.requests.recv(), if self.opening.len() < MAX_OPENING => {
                TunnelEvent::Wanted(request)
            }
            else => std::future::pending().await,
        }
    }

    /// Asks the node for a stream.
    pub(super) fn open_stream(
        &mut self,
        endpoint: &mut Endpoint,
        request: TunnelRequest,
        window: u32,
    ) {
        if request.is_closed() {
            return;
        }
        if endpoint.channels_of_ours() >= MAX_STREAMS {
            // Whoever dials may be gone.
            let _told = request.send(Err(TunnelError::Crowded));
            return;
        }
        let number = endpoint.free_number();
        let terms = Terms {
            window,
            max_window: WINDOW,
            max_packet: MAX_PACKET,
        };
        endpoint.open_with(number, FORWARDED_TCPIP, self.port.channel(), terms);
        self.opening.insert(number, (request, Instant::now()));
    }

    /// The node has opened the stream of this number.
    pub(super) fn opened(&mut self, number: u32, stream: ChannelStream) {
        if let Some((request, _)) = self.opening.remove(&number) {
            self.streams += 1;
            // If nobody waits any more, the stream is dropped here, which closes the channel.
            let _closed = request.send(Ok(stream));
        }
    }

    /// The node has not, and says why.
    pub(super) fn not_opened(&mut self, number: u32, text: &Bytes) {
        if let Some((request, _)) = self.opening.remove(&number) {
            let text = Printable(&String::from_utf8_lossy(text)).within(MAX_TEXT);
            let _told = request.send(Err(TunnelError::Refused(text)));
        }
    }

    /// For how long it has been open, and how many streams the node has opened.
    pub(super) fn use_so_far(&self) -> (Duration, u64) {
        (self.opened_at.elapsed(), self.streams)
    }

    /// When the node has left a stream unanswered for too long.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.opening.values().map(|(_, since)| *since).min()?;
        Some(since + UNANSWERED)
    }
}

/// Has the other process told that the tunnel is open, again and again; and that it has ended.
async fn report(client: HostClient, node: NodeId, closer: TunnelCloser, ended: CancellationToken) {
    let opened = async {
        loop {
            match client.ask(NodesQuestion::Tunnel(true)).await {
                Ok(NodesAnswer::Noted) => {
                    tokio::time::sleep(CONFIRM).await;
                    continue;
                }
                Ok(NodesAnswer::Refused(NodeRefusal {
                    reason, message, ..
                })) if !NOT_NOW.contains(&reason.as_str()) => {
                    tracing::info!(%node, reason, message, "ended the tunnel of a node");
                    return closer.close();
                }
                Ok(other) => tracing::warn!(%node, ?other, "a tunnel could not be noted"),
                Err(error) => tracing::warn!(%node, %error, "a tunnel could not be noted"),
            }
            tokio::time::sleep(TELL_AGAIN).await;
        }
    };
    tokio::select! {
        () = opened => ended.cancelled().await,
        () = ended.cancelled() => {}
    }
    match client.ask(NodesQuestion::Tunnel(false)).await {
        Ok(NodesAnswer::Noted) => {}
        Ok(other) => tracing::debug!(%node, ?other, "the end of a tunnel could not be noted"),
        Err(error) => tracing::debug!(%node, %error, "the end of a tunnel could not be noted"),
    }
}
