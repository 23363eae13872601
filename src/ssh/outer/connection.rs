//! The driver of an authenticated outer connection: the leg, the time, and the end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::{Front, IDLE_SESSION, MAX_AGENTS};
use super::stream::ClientStream;
use crate::model::{ConnectionId, format_duration};
use crate::relay::Habits;
use crate::ssh::budget::Account;
use crate::ssh::caller::Caller;
use crate::ssh::channel::{AGENT_WINDOW, MAX_PACKET, Terms};
use crate::ssh::end_reason::EndReason;
use crate::ssh::endpoint::{AgentOpener, AgentRequest, NoAgent};
use crate::ssh::leg::{Leg, LegError};
use crate::ssh::policy_monitor::PolicyMonitor;
use crate::ssh::refusal::{self, Refusal, SHUTTING_DOWN};
use crate::ssh::scope::Scope;
use crate::ssh::served_leg::{Awaited, ServedLeg};
use crate::ssh::services::OuterServices;
use crate::wire::connection::{Breach, agent_channel};
use crate::wire::{DisconnectReason, ServerConfig};

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

/// What an outer connection waits for, other than its client.
#[derive(Debug)]
enum OuterEvent {
    /// A connection inside asks for a channel to the agent.
    Agent(AgentRequest),
    /// The proxy shuts down.
    Shutdown,
    /// The client may not stay.
    Withdrawn(Refusal),
    /// The connections inside have had their time to end.
    LastMoment,
    /// Sessions that have asked for nothing have had their time.
    IdleSessions,
}

/// An authenticated outer connection.
#[derive(Debug)]
pub(super) struct OuterConnection<S> {
    front: Front,
    served: ServedLeg<S>,
    agent_requests: mpsc::Receiver<AgentRequest>,
    /// Until when sessions may ask for something that have not yet.
    idle_until: Option<Instant>,
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
        let limits = services.settings.now().time;
        Self {
            served: ServedLeg::new(leg, account.outer(), &limits),
            agent_requests,
            idle_until: None,
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
        let ServedLeg { leg, endpoint, .. } = &mut self.served;
        endpoint.hang_up();
        match ended {
            Ok(()) => {
                let farewell = self.front.farewell.as_ref();
                let text = farewell.map_or(SHUTTING_DOWN, |(text, _)| text);
                leg.disconnect(DisconnectReason::ByApplication, text).await;
            }
            Err(OuterError::Leg(error @ LegError::Protocol(_))) => {
                tracing::info!(client = %self.front.caller.address, %error, "protocol error on the outer connection");
                leg.reproach(&error).await;
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
                leg.disconnect(DisconnectReason::ByApplication, &refusal.line(id))
                    .await;
            }
            Err(error) => {
                tracing::info!(client = %self.front.caller.address, %error, "protocol error on the outer connection");
                let text = refusal::login_broken(&error);
                leg.disconnect(DisconnectReason::ProtocolError, &text).await;
            }
        }
    }

    /// `Ok` when the connection has to end and the connections inside have ended.
    async fn drive(&mut self, watched: PolicyMonitor) -> Result<(), OuterError> {
        let id = self.front.id;
        let mut withdrawn = pin!(watched.withdrawn());
        let mut last_moment = None;
        loop {
            self.served.advance::<OuterError>(&mut self.front).await?;
            if self.front.farewell.is_some() && self.served.endpoint.is_empty() {
                return Ok(());
            }
            let (front, agents, idle_until) =
                (&self.front, &mut self.agent_requests, self.idle_until);
            let event = async {
                tokio::select! {
                    biased;
                    Some(reply) = agents.recv() => OuterEvent::Agent(reply),
                    () = front.shutdown.cancelled(), if front.farewell.is_none() => {
                        OuterEvent::Shutdown
                    }
                    refusal = &mut withdrawn, if front.farewell.is_none() => {
                        OuterEvent::Withdrawn(refusal)
                    }
                    () = sleep_until(last_moment), if last_moment.is_some() => {
                        OuterEvent::LastMoment
                    }
                    () = sleep_until(idle_until), if idle_until.is_some() => {
                        OuterEvent::IdleSessions
                    }
                    else => std::future::pending().await,
                }
            };
            match self.served.wait(event).await? {
                Awaited::Bytes => {}
                Awaited::Time => self.on_time()?,
                Awaited::Other(OuterEvent::Agent(reply)) => self.open_agent(reply)?,
                Awaited::Other(OuterEvent::Shutdown) => {
                    self.leave(SHUTTING_DOWN.to_owned(), refusal::shutting_down());
                }
                Awaited::Other(OuterEvent::Withdrawn(refusal)) => {
                    self.leave(refusal.line(id), refusal);
                    last_moment = Some(Instant::now() + PATIENCE);
                }
                Awaited::Other(OuterEvent::LastMoment) => return Ok(()),
                Awaited::Other(OuterEvent::IdleSessions) => {
                    self.idle_until = None;
                    self.close_idle_sessions();
                }
            }
        }
    }

    /// Looks at the clock: whether the client is still there, and has anything to do here.
    fn on_time(&mut self) -> Result<(), OuterError> {
        let now = Instant::now();
        if let Some(silence) = self.served.check_peer(now)? {
            return Err(OuterError::Lost(silence));
        }
        let limit = self.front.services.settings.now().time.idle;
        let idle_since = self.served.idle_since(now);
        let idle_until = (!limit.is_zero()).then(|| idle_since + limit);
        if idle_until.is_some_and(|until| until <= now) {
            return Err(OuterError::Idle(limit));
        }
        self.served.look_again([idle_until]);
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
        for session in self.served.endpoint.take_pending_sessions() {
            session.stream.handle().stderr(&format!("{farewell}\r\n"));
        }
    }

    /// Asks the client for a channel to its agent.
    fn open_agent(&mut self, reply: AgentRequest) -> Result<(), OuterError> {
        let endpoint = &mut self.served.endpoint;
        if endpoint.channels_of_ours() >= MAX_AGENTS {
            // The connection inside may be gone.
            let _closed = reply.send(Err(NoAgent::Crowded));
            return Ok(());
        }
        let number = endpoint.free_number();
        let kind = agent_channel(self.front.agent_is_by_rfc);
        endpoint.open(number, kind, AGENT_TERMS);
        self.front.agents.insert(number, reply);
        Ok(self.served.send_answers()?)
    }
}

async fn sleep_until(moment: Option<Instant>) {
    tokio::time::sleep_until(moment.unwrap_or_else(Instant::now)).await;
}
