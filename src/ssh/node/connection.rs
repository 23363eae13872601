//! The driver of a host's connection: the leg, the time, and the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::NodeFront;
use super::host::HostCaller;
use super::services::NodeServices;
use super::tunnel::{Tunnel, TunnelEnd, TunnelEvent};
use crate::model::format_duration;
use crate::ssh::leg::{Leg, LegError};
use crate::ssh::outer::ClientStream;
use crate::ssh::refusal::{self, SHUTTING_DOWN};
use crate::ssh::served_leg::{Awaited, ServedLeg};
use crate::ssh::services::OuterServices;
use crate::ssh::timers::{CloseTimeout, TimeLimits};
use crate::wire::DisconnectReason;
use crate::wire::connection::Breach;

/// How long a host may be connected without a channel and without a tunnel.
const IDLE: Duration = Duration::from_secs(30);
/// How long a host may be connected without a tunnel.
const WITHOUT_TUNNEL: Duration = Duration::from_secs(300);
/// A host that has died must not be taken for one that can be reached, whatever is configured for users.
const TIME: TimeLimits = TimeLimits {
    idle: Duration::ZERO,
    ends_with_certificate: false,
    keep_alive_interval: Duration::from_secs(15),
    keep_alive_count_max: 3,
};

/// Why the connection of a host ends early.
#[derive(Debug, thiserror::Error)]
enum NodeConnectionError {
    #[error(transparent)]
    Leg(#[from] LegError),
    #[error(transparent)]
    Breach(#[from] Breach),
    /// The host does not answer any more.
    #[error("the host has not answered for {}", format_duration(*.0))]
    Lost(Duration),
    /// The host's ssh neither opens nor refuses a channel.
    #[error("the host's ssh does not open the channels that it has promised")]
    Stuck,
    /// It keeps a connection that is over.
    #[error("the host's ssh does not close the channels that are over")]
    Unclosed,
    /// The host has asked for nothing for this long.
    #[error("nothing was asked for within {}", format_duration(*.0))]
    Idle(Duration),
    /// The node was locked or removed.
    #[error("the node is locked or removed")]
    Closed,
}

impl NodeConnectionError {
    /// What that means for the tunnel.
    const fn end(&self) -> TunnelEnd {
        match self {
            Self::Leg(LegError::Protocol(_)) | Self::Breach(_) => TunnelEnd::ProtocolError,
            // A host with a tunnel may be idle.
            Self::Leg(_) | Self::Idle(_) => TunnelEnd::HostLeft,
            Self::Lost(_) => TunnelEnd::HostLost,
            Self::Stuck | Self::Unclosed => TunnelEnd::ChannelsUnanswered,
            Self::Closed => TunnelEnd::NotPermitted,
        }
    }
}

/// Why the connection ends with its last stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// The node has opened a newer tunnel, or closed this one.
    Replaced,
    /// This process accepts no client any more.
    Closing,
}

impl Leaving {
    const fn text(self) -> &'static str {
        match self {
            Self::Replaced => "rproxy: this tunnel is not in use any more",
            Self::Closing => SHUTTING_DOWN,
        }
    }

    const fn end(self) -> TunnelEnd {
        match self {
            Self::Replaced => TunnelEnd::Replaced,
            Self::Closing => TunnelEnd::Shutdown,
        }
    }
}

/// What the connection of a host waits for, other than the host.
#[derive(Debug)]
enum NodeEvent {
    Tunnel(TunnelEvent),
    /// No client is accepted any more.
    Closing,
    /// The proxy shuts down.
    Shutdown,
}

/// The connection of a host that has proved its key.
#[derive(Debug)]
pub(super) struct NodeConnection<S> {
    front: NodeFront,
    served: ServedLeg<S>,
    began: Instant,
    /// It has had a tunnel.
    is_tunnel: bool,
    leaving: Option<Leaving>,
    /// Runs while only the host keeps a connection that is to end.
    close_timeout: CloseTimeout,
    shutdown: CancellationToken,
}

impl<S: ClientStream> NodeConnection<S> {
    pub(super) fn new(
        services: Arc<OuterServices>,
        nodes: Arc<NodeServices>,
        caller: HostCaller,
        mut leg: Leg<S>,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        // A tunnel is idle most of the time.
        leg.rest();
        let share = services.budget.account(&caller.host.name()).node();
        Self {
            served: ServedLeg::new(leg, share, &TIME),
            began: Instant::now(),
            is_tunnel: false,
            leaving: None,
            close_timeout: CloseTimeout::default(),
            shutdown,
            front: NodeFront::new(services, nodes, caller, tasks),
        }
    }

    /// Runs until the host leaves or breaks the protocol, its tunnel is over, or the proxy shuts down.
    pub(super) async fn run(mut self) {
        let ended = self.drive().await;
        self.front.end_tunnel(match &ended {
            Ok(()) => self.leaving.map_or(TunnelEnd::Shutdown, Leaving::end),
            Err(error) => error.end(),
        });
        let ServedLeg { leg, endpoint, .. } = &mut self.served;
        endpoint.hang_up();
        let (node, client) = (self.front.caller.host.name(), self.front.caller.address);
        match ended {
            Ok(()) => {
                let text = self.leaving.map_or(SHUTTING_DOWN, Leaving::text);
                let by = DisconnectReason::ByApplication;
                leg.disconnect(by, text).await;
            }
            Err(NodeConnectionError::Leg(error @ LegError::Protocol(_))) => {
                tracing::info!(%client, node, %error, "protocol error on the connection of a host");
                leg.reproach(&error).await;
            }
            Err(NodeConnectionError::Leg(error)) => {
                tracing::debug!(%client, node, %error, "the connection of a host ended");
            }
            Err(error @ NodeConnectionError::Breach(_)) => {
                tracing::info!(%client, node, %error, "protocol error on the connection of a host");
                let text = refusal::login_broken(&error);
                let by = DisconnectReason::ProtocolError;
                leg.disconnect(by, &text).await;
            }
            Err(error) => {
                tracing::info!(%client, node, %error, "ended the connection of a host");
                let by = DisconnectReason::ByApplication;
                leg.disconnect(by, &format!("rproxy: {error}")).await;
            }
        }
    }

    /// `Ok` when the connection has to end and nothing uses it any more.
    async fn drive(&mut self) -> Result<(), NodeConnectionError> {
        loop {
            self.served
                .advance::<NodeConnectionError>(&mut self.front)
                .await?;
            self.look_at_tunnel();
            if self.leaving.is_some() && self.served.endpoint.is_empty() {
                return Ok(());
            }
            let NodeFront { nodes, tunnel, .. } = &mut self.front;
            let (is_tunnel, is_leaving) = (self.is_tunnel, self.leaving.is_some());
            let shutdown = &self.shutdown;
            let event = async {
                tokio::select! {
                    biased;
                    event = next_event(tunnel.as_mut(), is_leaving) => NodeEvent::Tunnel(event),
                    () = nodes.closing.cancelled(), if is_tunnel && !is_leaving => {
                        NodeEvent::Closing
                    }
                    () = shutdown.cancelled() => NodeEvent::Shutdown,
                }
            };
            match self.served.wait(event).await? {
                Awaited::Bytes => {}
                Awaited::Time => self.on_time()?,
                Awaited::Other(NodeEvent::Tunnel(event)) => self.on_tunnel(event)?,
                Awaited::Other(NodeEvent::Closing) => self.leave(Leaving::Closing),
                Awaited::Other(NodeEvent::Shutdown) => return Ok(()),
            }
        }
    }

    /// Whether the host has opened its tunnel, or closed it.
    fn look_at_tunnel(&mut self) {
        match &self.front.tunnel {
            Some(_) => self.is_tunnel = true,
            // The node has closed it.
            None if self.is_tunnel && self.leaving.is_none() => self.leave(Leaving::Replaced),
            None => {}
        }
    }

    /// The connection ends with its last stream.
    fn leave(&mut self, why: Leaving) {
        self.leaving = Some(why);
        if let Some(tunnel) = &mut self.front.tunnel {
            tunnel.end_report();
        }
    }

    fn on_tunnel(&mut self, event: TunnelEvent) -> Result<(), NodeConnectionError> {
        match event {
            TunnelEvent::Closed => Err(NodeConnectionError::Closed),
            TunnelEvent::Overtaken => {
                self.leave(Leaving::Replaced);
                Ok(())
            }
            TunnelEvent::Wanted(request) => {
                let window = self.served.window();
                if let Some(tunnel) = &mut self.front.tunnel {
                    tunnel.open_stream(&mut self.served.endpoint, request, window);
                }
                Ok(self.served.send_answers()?)
            }
        }
    }

    /// Looks at the clock: whether the host is still there, and has anything to do here.
    fn on_time(&mut self) -> Result<(), NodeConnectionError> {
        let now = Instant::now();
        if let Some(silence) = self.served.check_peer(now)? {
            return Err(NodeConnectionError::Lost(silence));
        }
        let unanswered = self.front.tunnel.as_ref().and_then(Tunnel::due);
        if unanswered.is_some_and(|due| due <= now) {
            return Err(NodeConnectionError::Stuck);
        }
        let is_unclosed = self.leaving.is_some() && self.served.endpoint.waits_for_peer();
        if self.close_timeout.has_expired(is_unclosed, now) {
            return Err(NodeConnectionError::Unclosed);
        }
        let idle = self.served.idle_since(now) + IDLE;
        let most = self.began + WITHOUT_TUNNEL;
        let without_tunnel = match self.is_tunnel {
            true => None,
            false if idle <= now => return Err(NodeConnectionError::Idle(IDLE)),
            false if most <= now => return Err(NodeConnectionError::Idle(WITHOUT_TUNNEL)),
            false => Some(idle.min(most)),
        };
        self.served.look_again([unanswered, without_tunnel]);
        Ok(())
    }
}

/// What comes next on the tunnel, if there is one.
async fn next_event(tunnel: Option<&mut Tunnel>, is_leaving: bool) -> TunnelEvent {
    match tunnel {
        Some(tunnel) => tunnel.next(is_leaving).await,
        None => std::future::pending().await,
    }
}
