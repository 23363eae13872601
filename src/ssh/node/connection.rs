//! The driver of a host's connection: the leg, the time, and the end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::NodeFront;
use super::host::HostCaller;
use super::services::NodeServices;
use super::tunnel::{Tunnel, TunnelEvent};
use crate::model::format_duration;
use crate::ssh::budget::Share;
use crate::ssh::channel::WINDOW;
use crate::ssh::endpoint::{ChannelRoom, Endpoint, KeepLimits, LegOutlet};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::outer::ClientStream;
use crate::ssh::refusal::{self, SHUTTING_DOWN};
use crate::ssh::services::OuterServices;
use crate::ssh::timers::{KeepAlive, KeepaliveState, TimeLimits, Timer};
use crate::wire::DisconnectReason;
use crate::wire::connection::Breach;

/// Output that may wait for the host before channels have to wait, unless the budget is used up.
const BACKLOG: usize = 1024 * 1024;
/// Bytes after which those who use the tunnel have their turn.
const TURN: usize = 64 * 1024;
/// What sending counts for in a turn.
const SENT: usize = 4 * 1024;
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
    /// The host has asked for nothing for this long.
    #[error("nothing was asked for within {}", format_duration(*.0))]
    Idle(Duration),
    /// The node was locked or removed.
    #[error("the node is locked or removed")]
    Closed,
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
}

/// The connection of a host that has proved its key.
#[derive(Debug)]
pub(super) struct NodeConnection<S> {
    front: NodeFront,
    endpoint: Endpoint,
    leg: Leg<S>,
    /// What is held for this connection.
    share: Share,
    wake: Arc<Notify>,
    keep_alive: KeepAlive,
    timer: Timer,
    /// Since when there is no channel.
    idle_since: Instant,
    began: Instant,
    /// It has had a tunnel.
    is_tunnel: bool,
    leaving: Option<Leaving>,
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
        let now = Instant::now();
        let wake = Arc::new(Notify::new());
        let share = services.budget.account(&caller.host.name()).node();
        Self {
            endpoint: Endpoint::new(Arc::clone(&wake), KeepLimits::NOTHING),
            leg,
            share,
            wake,
            keep_alive: KeepAlive::new(&TIME, now),
            timer: Timer::new(Some(now)),
            idle_since: now,
            began: now,
            is_tunnel: false,
            leaving: None,
            shutdown,
            front: NodeFront::new(services, nodes, caller, tasks),
        }
    }

    /// Runs until the host leaves or breaks the protocol, its tunnel is over, or the proxy shuts down.
    pub(super) async fn run(mut self) {
        let ended = self.drive().await;
        // Whoever dials is told, and streams end.
        self.front.tunnel = None;
        self.endpoint.hang_up();
        let (node, client) = (self.front.caller.host.name(), self.front.caller.address);
        match ended {
            Ok(()) => {
                let text = self.leaving.map_or(SHUTTING_DOWN, Leaving::text);
                let by = DisconnectReason::ByApplication;
                self.leg.disconnect(by, text).await;
            }
            Err(NodeConnectionError::Leg(error @ LegError::Protocol(_))) => {
                tracing::info!(%client, node, %error, "protocol error on the connection of a host");
                self.leg.reproach(&error).await;
            }
            Err(NodeConnectionError::Leg(error)) => {
                tracing::debug!(%client, node, %error, "the connection of a host ended");
            }
            Err(error @ NodeConnectionError::Breach(_)) => {
                tracing::info!(%client, node, %error, "protocol error on the connection of a host");
                let text = refusal::login_broken(&error);
                let by = DisconnectReason::ProtocolError;
                self.leg.disconnect(by, &text).await;
            }
            Err(error) => {
                tracing::info!(%client, node, %error, "ended the connection of a host");
                let by = DisconnectReason::ByApplication;
                self.leg.disconnect(by, &format!("rproxy: {error}")).await;
            }
        }
    }

    /// `Ok` when the connection has to end and nothing uses it any more.
    async fn drive(&mut self) -> Result<(), NodeConnectionError> {
        // Bytes read since everything else had its turn.
        let mut since_turn = 0;
        loop {
            let backlog = self.share.room(2 * BACKLOG);
            self.take_packets(backlog)?;
            self.pump()?;
            if self.leaving.is_some() && self.endpoint.is_empty() {
                return Ok(());
            }
            self.leg.send_ready().await;
            // Replies are not limited by windows, so a host that does not read its replies is not read
            // either.
            let read = self.leg.has_room(backlog);
            // Under load, everything else is checked once per `TURN`: each check costs time.
            if since_turn < TURN {
                let moved = poll_fn(|context| Poll::Ready(self.leg.poll_transfer(context, read)));
                if let Poll::Ready(bytes) = moved.await {
                    since_turn += bytes?.max(SENT);
                    continue;
                }
            } else {
                tokio::task::yield_now().await;
                self.pump()?;
            }
            since_turn = 0;
            let nodes = Arc::clone(&self.front.nodes);
            let is_leaving = self.leaving.is_some();
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = self.timer.ring() => self.on_time()?,
                event = next_event(self.front.tunnel.as_mut(), is_leaving) => {
                    self.on_tunnel(event)?;
                }
                () = nodes.closing.cancelled(), if self.is_tunnel && !is_leaving => {
                    self.leaving = Some(Leaving::Closing);
                    if let Some(tunnel) = &mut self.front.tunnel {
                        tunnel.end_report();
                    }
                }
                () = self.shutdown.cancelled() => return Ok(()),
                bytes = self.leg.transfer(read) => since_turn = bytes?,
            }
        }
    }

    /// Takes what was read.
    fn take_packets(&mut self, backlog: usize) -> Result<(), NodeConnectionError> {
        while self.leg.has_room(backlog)
            && let Some(event) = self.leg.poll_event()?
        {
            if let LegEvent::Packet(payload) = event {
                self.keep_alive.heard(Instant::now());
                self.endpoint.on_packet(&payload, &mut self.front)?;
                self.send_answers()?;
            }
        }
        match &self.front.tunnel {
            Some(_) => self.is_tunnel = true,
            // The node has closed it.
            None if self.is_tunnel && self.leaving.is_none() => {
                self.leaving = Some(Leaving::Replaced);
            }
            None => {}
        }
        Ok(())
    }

    fn on_tunnel(&mut self, event: TunnelEvent) -> Result<(), NodeConnectionError> {
        match event {
            TunnelEvent::Closed => Err(NodeConnectionError::Closed),
            TunnelEvent::Overtaken => {
                self.leaving = Some(Leaving::Replaced);
                if let Some(tunnel) = &mut self.front.tunnel {
                    tunnel.end_report();
                }
                Ok(())
            }
            TunnelEvent::Wanted(request) => {
                let window = self.window();
                if let Some(tunnel) = &mut self.front.tunnel {
                    tunnel.open_stream(&mut self.endpoint, request, window);
                }
                self.send_answers()
            }
        }
    }

    /// Looks at the clock: whether the host is still there, and has anything to do here.
    fn on_time(&mut self) -> Result<(), NodeConnectionError> {
        let now = Instant::now();
        match self.keep_alive.check(now) {
            KeepaliveState::Beats => {}
            KeepaliveState::Ask => {
                self.endpoint.ask();
                self.send_answers()?;
            }
            KeepaliveState::Lost(silence) => return Err(NodeConnectionError::Lost(silence)),
        }
        let unanswered = self.front.tunnel.as_ref().and_then(Tunnel::due);
        if unanswered.is_some_and(|due| due <= now) {
            return Err(NodeConnectionError::Stuck);
        }
        if !self.endpoint.is_empty() {
            self.idle_since = now;
        }
        let (idle, most) = (self.idle_since + IDLE, self.began + WITHOUT_TUNNEL);
        let without_tunnel = match self.is_tunnel {
            true => None,
            false if idle <= now => return Err(NodeConnectionError::Idle(IDLE)),
            false if most <= now => return Err(NodeConnectionError::Idle(WITHOUT_TUNNEL)),
            false => Some(idle.min(most)),
        };
        let due = [self.keep_alive.due(), unanswered, without_tunnel];
        self.timer.set(due.into_iter().flatten().min());
        Ok(())
    }

    fn send_answers(&mut self) -> Result<(), NodeConnectionError> {
        let mut outlet = LegOutlet::new(&mut self.leg, usize::MAX);
        Ok(self.endpoint.send_answers(&mut outlet)?)
    }

    /// What the host may send on a channel before it is read, in bytes.
    fn window(&self) -> u32 {
        let window = self.share.room(WINDOW as usize);
        u32::try_from(window).unwrap_or(WINDOW)
    }

    /// Sends what the channels have, as far as the host takes it.
    fn pump(&mut self) -> Result<(), NodeConnectionError> {
        let room = ChannelRoom {
            window: self.window(),
            output: self.share.room(usize::MAX),
        };
        let mut outlet = LegOutlet::new(&mut self.leg, self.share.room(BACKLOG));
        let pumped = self.endpoint.pump(&mut outlet, room)?;
        self.share.hold(pumped.held + self.leg.held());
        if pumped.closed > 0 {
            self.idle_since = Instant::now();
        }
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
