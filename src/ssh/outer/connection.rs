//! The driver of an authenticated outer connection: the leg, the time, and the end.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::{Front, IDLE_SESSION, MAX_AGENTS};
use super::stream::ClientStream;
use crate::model::{ConnectionId, format_duration};
use crate::relay::Habits;
use crate::ssh::budget::{Account, Share};
use crate::ssh::caller::Caller;
use crate::ssh::channel::{AGENT_WINDOW, MAX_PACKET, Terms, WINDOW};
use crate::ssh::end_reason::EndReason;
use crate::ssh::endpoint::{
    AgentOpener, AgentRequest, ChannelRoom, Endpoint, KeepLimits, LegOutlet, NoAgent,
};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::policy_monitor::PolicyMonitor;
use crate::ssh::refusal::{self, Refusal, SHUTTING_DOWN};
use crate::ssh::scope::Scope;
use crate::ssh::services::OuterServices;
use crate::ssh::timers::{KeepAlive, KeepaliveState, Timer};
use crate::wire::connection::{Breach, agent_channel};
use crate::wire::{DisconnectReason, ServerConfig};

/// Output that may wait for the client before channels have to wait, unless the budget is used up.
const BACKLOG: usize = 1024 * 1024;
/// Bytes after which the connections inside have their turn: what is read is taken on while it is
/// still in the processor's cache, and does not pile up to the size of a window.
const TURN: usize = 64 * 1024;
/// What sending counts for in a turn.
const SENT: usize = 4 * 1024;
/// How long the connections inside may take to end when their user's certificate is revoked.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is taken on a channel to the agent.
const AGENT_TERMS: Terms = Terms {
    window: AGENT_WINDOW,
    max_window: AGENT_WINDOW,
    max_packet: MAX_PACKET,
};

/// Why an outer connection ends early.
#[derive(Debug, thiserror::Error)]
enum OuterError {
    #[error(transparent)]
    Leg(#[from] LegError),
    #[error(transparent)]
    Breach(#[from] Breach),
    /// The client does not answer any more.
    #[error("the client has not answered for {}", format_duration(*.0))]
    Lost(Duration),
    /// The client has had no channel for this long.
    #[error("nothing was asked for within {}", format_duration(*.0))]
    Idle(Duration),
}

impl OuterError {
    /// What that means for the connections inside.
    fn end_reason(&self) -> EndReason {
        match self {
            Self::Lost(silence) => EndReason::OuterLost(*silence),
            Self::Leg(LegError::Protocol(_)) | Self::Breach(_) => EndReason::OuterBroken,
            Self::Leg(_) | Self::Idle(_) => EndReason::OuterLeft,
        }
    }
}

/// An authenticated outer connection.
#[derive(Debug)]
pub(super) struct OuterConnection<S> {
    front: Front,
    endpoint: Endpoint,
    leg: Leg<S>,
    /// What is held for this connection.
    share: Share,
    wake: Arc<Notify>,
    agent_requests: mpsc::Receiver<AgentRequest>,
    /// Until when sessions may ask for something that have not yet.
    idle_until: Option<Instant>,
    keep_alive: KeepAlive,
    timer: Timer,
    /// Since when there is no channel.
    idle_since: Instant,
}

impl<S: ClientStream> OuterConnection<S> {
    pub(super) fn new(
        services: Arc<OuterServices>,
        (caller, id): (Caller, ConnectionId),
        account: Account,
        (leg, shown): (Leg<S>, Arc<ServerConfig>),
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let (requests, agent_requests) = mpsc::channel(4);
        let now = Instant::now();
        let wake = Arc::new(Notify::new());
        Self {
            endpoint: Endpoint::new(Arc::clone(&wake), KeepLimits::NOTHING),
            leg,
            share: account.outer(),
            wake,
            agent_requests,
            idle_until: None,
            keep_alive: KeepAlive::new(&services.settings.now().time, now),
            timer: Timer::new(Some(now)),
            idle_since: now,
            front: Front {
                services,
                caller,
                shown,
                id,
                account,
                agent_opener: AgentOpener { requests },
                agent_is_by_rfc: false,
                agents: BTreeMap::new(),
                refused: 0,
                habits: Habits::default(),
                farewell: None,
                scope: Scope::within(&shutdown),
                shutdown,
                tasks,
            },
        }
    }

    /// Runs until the client leaves or breaks the protocol, its certificate is revoked, or the proxy
    /// shuts down.
    pub(super) async fn run(mut self, watched: PolicyMonitor) {
        let id = self.front.id;
        let ended = self.drive(watched).await;
        self.front.scope.end(match &ended {
            Ok(()) => EndReason::Shutdown,
            Err(error) => error.end_reason(),
        });
        self.endpoint.hang_up();
        match ended {
            Ok(()) => {
                let farewell = self.front.farewell.as_ref();
                let text = farewell.map_or(SHUTTING_DOWN, |(text, _)| text);
                self.leg
                    .disconnect(DisconnectReason::ByApplication, text)
                    .await;
            }
            Err(OuterError::Leg(error @ LegError::Protocol(_))) => {
                tracing::info!(client = %self.front.caller.address, %error, "protocol error on the outer connection");
                self.leg.reproach(&error).await;
            }
            Err(OuterError::Leg(error)) => {
                tracing::debug!(client = %self.front.caller.address, %error, "the outer connection ended");
            }
            Err(error @ (OuterError::Lost(limit) | OuterError::Idle(limit))) => {
                tracing::info!(client = %self.front.caller.address, %error, "ended the outer connection");
                let refusal = match error {
                    OuterError::Lost(_) => refusal::client_lost(limit),
                    _ => refusal::nothing_asked_for(limit),
                };
                self.front
                    .services
                    .audit
                    .emit_or_log(&refusal.event(self.front.origin(id, None)));
                self.leg
                    .disconnect(DisconnectReason::ByApplication, &refusal.line(id))
                    .await;
            }
            Err(error) => {
                tracing::info!(client = %self.front.caller.address, %error, "protocol error on the outer connection");
                let text = refusal::login_broken(&error);
                self.leg
                    .disconnect(DisconnectReason::ProtocolError, &text)
                    .await;
            }
        }
    }

    /// `Ok` when the connection has to end and the connections inside have ended.
    async fn drive(&mut self, watched: PolicyMonitor) -> Result<(), OuterError> {
        let id = self.front.id;
        let mut withdrawn = pin!(watched.withdrawn());
        let mut last_moment = None;
        // Bytes read since everything else had its turn.
        let mut since_turn = 0;
        loop {
            let backlog = self.share.room(2 * BACKLOG);
            while self.leg.has_room(backlog)
                && let Some(event) = self.leg.poll_event()?
            {
                if let LegEvent::Packet(payload) = event {
                    self.keep_alive.heard(Instant::now());
                    self.endpoint.on_packet(&payload, &mut self.front)?;
                    self.send_answers()?;
                }
            }
            self.pump()?;
            if self.front.farewell.is_some() && self.endpoint.is_empty() {
                return Ok(());
            }
            self.leg.send_ready().await;
            // Replies are not limited by windows, so a client that does not read its replies is not
            // read either.
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
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = self.timer.ring() => self.on_time()?,
                Some(reply) = self.agent_requests.recv() => self.open_agent(reply)?,
                () = self.front.shutdown.cancelled(), if self.front.farewell.is_none() => {
                    self.leave(SHUTTING_DOWN.to_owned(), refusal::shutting_down());
                }
                refusal = &mut withdrawn, if self.front.farewell.is_none() => {
                    self.leave(refusal.line(id), refusal);
                    last_moment = Some(Instant::now() + PATIENCE);
                }
                () = sleep_until(last_moment), if last_moment.is_some() => return Ok(()),
                () = sleep_until(self.idle_until), if self.idle_until.is_some() => {
                    self.idle_until = None;
                    self.close_idle_sessions();
                }
                bytes = self.leg.transfer(read) => since_turn = bytes?,
            }
        }
    }

    /// Looks at the clock: whether the client is still there, and has anything to do here.
    fn on_time(&mut self) -> Result<(), OuterError> {
        let now = Instant::now();
        match self.keep_alive.check(now) {
            KeepaliveState::Beats => {}
            KeepaliveState::Ask => {
                self.endpoint.ask();
                self.send_answers()?;
            }
            KeepaliveState::Lost(silence) => return Err(OuterError::Lost(silence)),
        }
        let limit = self.front.services.settings.now().time.idle;
        if !self.endpoint.is_empty() {
            self.idle_since = now;
        }
        let idle_until = (!limit.is_zero()).then(|| self.idle_since + limit);
        if idle_until.is_some_and(|until| until <= now) {
            return Err(OuterError::Idle(limit));
        }
        let due = [self.keep_alive.due(), idle_until];
        self.timer.set(due.into_iter().flatten().min());
        Ok(())
    }

    /// The connection is to end. What comes until then reads why.
    fn leave(&mut self, farewell: String, why: Refusal) {
        self.idle_until = Some(Instant::now() + IDLE_SESSION);
        self.front.farewell = Some((farewell, why));
    }

    /// Sessions that have asked for nothing yet will get nothing any more.
    fn close_idle_sessions(&mut self) {
        let Some((farewell, _)) = &self.front.farewell else {
            return;
        };
        for session in self.endpoint.take_pending_sessions() {
            session.stream.handle().stderr(&format!("{farewell}\r\n"));
        }
    }

    /// Asks the client for a channel to its agent.
    fn open_agent(&mut self, reply: AgentRequest) -> Result<(), OuterError> {
        if self.endpoint.channels_of_ours() >= MAX_AGENTS {
            // The connection inside may be gone.
            let _closed = reply.send(Err(NoAgent::Crowded));
            return Ok(());
        }
        let number = self.endpoint.free_number();
        let kind = agent_channel(self.front.agent_is_by_rfc);
        self.endpoint.open(number, kind, AGENT_TERMS);
        self.front.agents.insert(number, reply);
        self.send_answers()
    }

    fn send_answers(&mut self) -> Result<(), OuterError> {
        let mut outlet = LegOutlet::new(&mut self.leg, usize::MAX);
        Ok(self.endpoint.send_answers(&mut outlet)?)
    }

    /// Sends what the channels have, as far as the client takes it.
    fn pump(&mut self) -> Result<(), OuterError> {
        let window = self.share.room(WINDOW as usize);
        let room = ChannelRoom {
            window: u32::try_from(window).unwrap_or(WINDOW),
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

async fn sleep_until(moment: Option<Instant>) {
    tokio::time::sleep_until(moment.unwrap_or_else(Instant::now)).await;
}
