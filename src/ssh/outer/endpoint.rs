//! The driver of an authenticated outer connection: its channels end in the proxy.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channel::{Channel, EndpointError};
use crate::audit::{NotPassed, RefusedKind};
use crate::model::ConnectionId;
use crate::relay::{Habit, Habits, What};
use crate::ssh::budget::{Account, Share};
use crate::ssh::caller::Caller;
use crate::ssh::channel::{AGENT_WINDOW, MAX_PACKET, Port, WINDOW, channel};
use crate::ssh::end_reason::EndReason;
use crate::ssh::endpoint::{AgentOpener, AgentRequest, NoAgent};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::policy_monitor::PolicyMonitor;
use crate::ssh::refusal::{self, ONLY_TARGETS, Refusal, SHUTTING_DOWN, TOO_MANY_CHANNELS};
use crate::ssh::scope::Scope;
use crate::ssh::services::OuterServices;
use crate::ssh::timers::{KeepAlive, KeepaliveState, Timer};
use crate::wire::connection::{self, Message, Name, OpenFailure, agent_channel, number};
use crate::wire::{DisconnectReason, ServerConfig};

/// How long sessions without a request may take to make one when the connection is about to end: then
/// they get the reason where ssh shows it.
const IDLE_SESSION: Duration = Duration::from_secs(1);
/// How many refusals are audited before the connection is ended, so that a client cannot fill the
/// audit log.
const MAX_REFUSED: u32 = 1_000;
/// How many bytes of output may wait for the client before channels have to wait, unless the budget
/// is used up.
const BACKLOG: usize = 1024 * 1024;
/// After how many bytes the connections inside are run: what was read is processed while it is in
/// the processor's cache, and does not pile up to the size of a window.
const TURN: usize = 64 * 1024;
/// How many bytes one send counts for.
const SENT: usize = 4 * 1024;
/// How long the connections inside may take to end when their user's certificate is revoked.
const PATIENCE: Duration = Duration::from_secs(2);

/// An authenticated outer connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) services: Arc<OuterServices>,
    pub(super) caller: Caller,
    /// What this connection's server presents.
    pub(super) shown: Arc<ServerConfig>,
    /// The id of this connection in the audit log.
    id: ConnectionId,
    pub(super) leg: Leg<TcpStream>,
    /// The memory account of the user.
    pub(super) account: Account,
    /// The connection's part of the memory budget.
    share: Share,
    pub(super) channels: BTreeMap<u32, Channel>,
    pub(super) wake: Arc<Notify>,
    pub(super) agent_requests: mpsc::Receiver<AgentRequest>,
    pub(super) agent_opener: AgentOpener,
    /// The client has asked for agent forwarding by the name of RFC 9987.
    pub(super) agent_is_by_rfc: bool,
    pub(super) refused: u32,
    /// The routine requests that were refused.
    habits: Habits,
    /// Why the connection is about to end: the text of the disconnect, and the refusal for new
    /// sessions.
    pub(super) farewell: Option<(String, Refusal)>,
    /// Until when sessions without a request may make one.
    idle_until: Option<Instant>,
    pub(super) shutdown: CancellationToken,
    pub(super) keep_alive: KeepAlive,
    pub(super) alarm: Timer,
    /// How many keepalives the client has not answered.
    pub(super) owed: u32,
    /// Since when there is no channel.
    pub(super) idle_since: Instant,
    /// The lifetime of this connection, which the connections inside share.
    pub(super) scope: Scope,
    pub(super) tasks: TaskTracker,
}

impl Endpoint {
    pub(super) fn new(
        services: Arc<OuterServices>,
        (caller, id): (Caller, ConnectionId),
        account: Account,
        (leg, shown): (Leg<TcpStream>, Arc<ServerConfig>),
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let (requests, agent_requests) = mpsc::channel(4);
        let now = Instant::now();
        let keep_alive = KeepAlive::new(&services.settings.now().time, now);
        Self {
            services,
            caller,
            shown,
            id,
            leg,
            share: account.outer(),
            account,
            channels: BTreeMap::new(),
            wake: Arc::new(Notify::new()),
            agent_requests,
            agent_opener: AgentOpener { requests },
            agent_is_by_rfc: false,
            alarm: Timer::new(Some(now)),
            keep_alive,
            owed: 0,
            idle_since: now,
            refused: 0,
            habits: Habits::default(),
            farewell: None,
            idle_until: None,
            scope: Scope::within(&shutdown),
            shutdown,
            tasks,
        }
    }

    /// Runs until the client leaves or breaks the protocol, its certificate is revoked, or the proxy
    /// shuts down.
    pub(super) async fn run(mut self, watched: PolicyMonitor) {
        let id = self.id;
        let ended = self.drive(watched).await;
        self.scope.end(match &ended {
            Ok(()) => EndReason::Shutdown,
            Err(error) => error.end_reason(),
        });
        for channel in self.channels.values_mut().filter_map(Channel::port) {
            channel.hang_up();
        }
        match ended {
            Ok(()) => {
                let farewell = self.farewell.as_ref();
                let text = farewell.map_or(SHUTTING_DOWN, |(text, _)| text);
                self.leg
                    .disconnect(DisconnectReason::ByApplication, text)
                    .await;
            }
            Err(EndpointError::Leg(error @ LegError::Protocol(_))) => {
                tracing::info!(client = %self.caller.address, %error, "protocol error on the outer connection");
                self.leg.reproach(&error).await;
            }
            Err(EndpointError::Leg(error)) => {
                tracing::debug!(client = %self.caller.address, %error, "the outer connection ended");
            }
            Err(error @ (EndpointError::Lost(limit) | EndpointError::Idle(limit))) => {
                tracing::info!(client = %self.caller.address, %error, "ended the outer connection");
                let refusal = match error {
                    EndpointError::Lost(_) => refusal::client_lost(limit),
                    _ => refusal::nothing_asked_for(limit),
                };
                self.services
                    .audit
                    .emit_or_log(&refusal.event(self.origin(id, None)));
                self.leg
                    .disconnect(DisconnectReason::ByApplication, &refusal.line(id))
                    .await;
            }
            Err(error) => {
                tracing::info!(client = %self.caller.address, %error, "protocol error on the outer connection");
                let text = refusal::login_broken(&error);
                self.leg
                    .disconnect(DisconnectReason::ProtocolError, &text)
                    .await;
            }
        }
    }

    /// `Ok` when the connection has to end and the connections inside have ended.
    async fn drive(&mut self, watched: PolicyMonitor) -> Result<(), EndpointError> {
        let id = self.id;
        let mut withdrawn = pin!(watched.withdrawn());
        let mut last_moment = None;
        // How many bytes were relayed since everything else was last checked.
        let mut since_turn = 0;
        loop {
            let backlog = self.share.room(2 * BACKLOG);
            while self.leg.has_room(backlog)
                && let Some(event) = self.leg.poll_event()?
            {
                if let LegEvent::Packet(payload) = event {
                    self.keep_alive.heard(Instant::now());
                    self.take(&payload)?;
                }
            }
            self.pump()?;
            if self.farewell.is_some() && self.channels.is_empty() {
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
                () = self.alarm.ring() => self.on_time()?,
                Some(reply) = self.agent_requests.recv() => self.open_agent(reply)?,
                () = self.shutdown.cancelled(), if self.farewell.is_none() => {
                    self.leave(SHUTTING_DOWN.to_owned(), refusal::shutting_down());
                }
                refusal = &mut withdrawn, if self.farewell.is_none() => {
                    self.leave(refusal.line(id), refusal);
                    last_moment = Some(Instant::now() + PATIENCE);
                }
                () = sleep_until(last_moment), if last_moment.is_some() => return Ok(()),
                () = sleep_until(self.idle_until), if self.idle_until.is_some() => {
                    self.idle_until = None;
                    if let Some((farewell, _)) = &self.farewell {
                        close_idle_sessions(&mut self.channels, farewell);
                    }
                }
                bytes = self.leg.transfer(read) => since_turn = bytes?,
            }
        }
    }

    /// Checks the time limits: whether the client still answers, and still has a channel.
    fn on_time(&mut self) -> Result<(), EndpointError> {
        let now = Instant::now();
        match self.keep_alive.check(now) {
            KeepaliveState::Beats => {}
            KeepaliveState::Ask => {
                self.owed += 1;
                self.send(&connection::keep_alive())?;
            }
            KeepaliveState::Lost(silence) => return Err(EndpointError::Lost(silence)),
        }
        let limit = self.services.settings.now().time.idle;
        if !self.channels.is_empty() {
            self.idle_since = now;
        }
        let idle_until = (!limit.is_zero()).then(|| self.idle_since + limit);
        if idle_until.is_some_and(|until| until <= now) {
            return Err(EndpointError::Idle(limit));
        }
        self.alarm.set(
            [self.keep_alive.due(), idle_until]
                .into_iter()
                .flatten()
                .min(),
        );
        Ok(())
    }

    /// The connection is about to end. Further requests get the reason.
    fn leave(&mut self, farewell: String, why: Refusal) {
        for channel in self.channels.values_mut() {
            if let Channel::Session { refusal, .. } = channel {
                *refusal = Some(why.clone());
            }
        }
        self.idle_until = Some(Instant::now() + IDLE_SESSION);
        self.farewell = Some((farewell, why));
    }

    /// Why the connection is about to end, if it is.
    pub(super) fn leaving(&self) -> Option<Refusal> {
        let known = self.farewell.as_ref().map(|(_, refusal)| refusal.clone());
        known.or_else(|| self.shutdown.is_cancelled().then(refusal::shutting_down))
    }

    /// Sends the channels' output, as far as the client has granted window.
    fn pump(&mut self) -> Result<(), EndpointError> {
        let mut over = Vec::new();
        let (backlog, output) = (self.share.room(BACKLOG), self.share.room(usize::MAX));
        let window = self.share.room(WINDOW as usize);
        let window = u32::try_from(window).unwrap_or(WINDOW);
        let mut held = 0;
        for (number, channel) in &mut self.channels {
            let window = channel.window(window);
            let Some(port) = channel.port() else { continue };
            while self.leg.backlog() < backlog {
                let Some(message) = port.next_message(window) else {
                    break;
                };
                let (head, body) = message.encode();
                self.leg
                    .transport
                    .send_parts(&head, &body)
                    .map_err(LegError::from)?;
            }
            held += port.held(output);
            if port.is_over() {
                over.push(*number);
            }
        }
        self.share.hold(held + self.leg.held());
        for number in over {
            self.channels.remove(&number);
            self.idle_since = Instant::now();
        }
        Ok(())
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<(), EndpointError> {
        let (head, body) = message.encode();
        Ok(self
            .leg
            .transport
            .send_parts(&head, &body)
            .map_err(LegError::from)?)
    }

    fn take(&mut self, payload: &Bytes) -> Result<(), EndpointError> {
        if number::is_authentication(payload) {
            return Ok(());
        }
        match Message::parse(payload)? {
            Message::GlobalRequest {
                name, want_reply, ..
            } => {
                if !matches!(
                    name.as_str(),
                    "keepalive@openssh.com" | "no-more-sessions@openssh.com"
                ) {
                    self.audit_refused(RefusedKind::GlobalRequest, name.as_str())?;
                }
                if want_reply {
                    self.send(&Message::RequestFailure)
                } else {
                    Ok(())
                }
            }
            Message::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } => self.open(&kind, sender, window, max_packet, &data),
            Message::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                ..
            } => self.agent_opened(recipient, sender, window, max_packet),
            Message::OpenFailure { recipient, .. } => match self.channels.remove(&recipient) {
                Some(Channel::OpeningAgent { .. }) => Ok(()),
                _ => Err(EndpointError::Breach("a reply to no request")),
            },
            Message::WindowAdjust { recipient, bytes } => {
                if self.port(recipient)?.grant(bytes) {
                    Ok(())
                } else {
                    Err(EndpointError::Breach("a window of more than 4 GiB"))
                }
            }
            Message::Data { recipient, data } => {
                if self.port(recipient)?.deliver(data) {
                    Ok(())
                } else {
                    Err(EndpointError::Breach("data beyond the window"))
                }
            }
            // ssh sends none, and no channel would read it.
            Message::ExtendedData { .. } => Err(EndpointError::Breach("extended data")),
            Message::Eof { recipient } => {
                self.port(recipient)?.deliver_eof();
                Ok(())
            }
            Message::Close { recipient } => {
                let port = self.port(recipient)?;
                port.got_close = true;
                port.hang_up();
                Ok(())
            }
            Message::Request {
                recipient,
                kind,
                want_reply,
                data,
            } => self.request(recipient, &kind, want_reply, &data),
            Message::RequestSuccess { .. } | Message::RequestFailure if self.owed > 0 => {
                self.owed -= 1;
                Ok(())
            }
            Message::RequestSuccess { .. }
            | Message::RequestFailure
            | Message::Success { .. }
            | Message::Failure { .. } => Err(EndpointError::Breach("a reply to no request")),
        }
    }

    pub(super) fn port(&mut self, number: u32) -> Result<&mut Port, EndpointError> {
        self.channels
            .get_mut(&number)
            .and_then(Channel::port)
            .filter(|port| !port.got_close)
            .ok_or(EndpointError::Breach(
                "a message for a channel that does not exist",
            ))
    }

    fn open(
        &mut self,
        kind: &Name,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: &Bytes,
    ) -> Result<(), EndpointError> {
        let fail = |reason: OpenFailure, text: &'static str| Message::OpenFailure {
            recipient: sender,
            reason: reason as u32,
            text: Bytes::from_static(text.as_bytes()),
            language: Bytes::new(),
        };
        if kind.as_str() == "direct-tcpip" {
            return self.jump(sender, window, max_packet, data);
        }
        if kind.as_str() != "session" {
            self.audit_refused(RefusedKind::Channel, kind.as_str())?;
            return self.send(&fail(OpenFailure::AdministrativelyProhibited, ONLY_TARGETS));
        }
        let refusal = self.leaving();
        let number = match refusal {
            Some(_) => self.courtesy_number(),
            None => self.free_number(),
        };
        let Some(number) = number else {
            self.audit_refused(RefusedKind::Channel, kind.as_str())?;
            return self.send(&fail(OpenFailure::ResourceShortage, TOO_MANY_CHANNELS));
        };
        let is_refused = refusal.is_some();
        let session = |port| Channel::Session {
            port,
            stream: None,
            forwards_agent: false,
            has_terminal: false,
            refusal,
        };
        let opened = self.admit(number, (sender, window, max_packet), is_refused, session)?;
        if let Some(Channel::Session { stream, .. }) = self.channels.get_mut(&number) {
            *stream = Some(opened);
        }
        Ok(())
    }

    fn open_agent(&mut self, reply: AgentRequest) -> Result<(), EndpointError> {
        let Some(number) = self.agent_number() else {
            let _closed = reply.send(Err(NoAgent::Crowded));
            return Ok(());
        };
        let (stream, port) = channel(Arc::clone(&self.wake));
        self.channels.insert(
            number,
            Channel::OpeningAgent {
                port,
                stream,
                reply,
            },
        );
        self.send(&Message::Open {
            kind: Name::from_static(agent_channel(self.agent_is_by_rfc)),
            sender: number,
            window: AGENT_WINDOW,
            max_packet: MAX_PACKET,
            data: Bytes::new(),
        })
    }

    fn agent_opened(
        &mut self,
        number: u32,
        sender: u32,
        window: u32,
        max_packet: u32,
    ) -> Result<(), EndpointError> {
        let Some(Channel::OpeningAgent {
            port,
            stream,
            reply,
        }) = self.channels.remove(&number)
        else {
            return Err(EndpointError::Breach("a reply to no request"));
        };
        let port = Port::new(port, AGENT_WINDOW, (sender, window, max_packet));
        self.channels.insert(number, Channel::Agent { port });
        // If the task does not wait any more, the stream is dropped here, which closes the channel.
        let _closed = reply.send(Ok(stream));
        Ok(())
    }

    /// Audits a request that is not served. Too many of them end the connection.
    pub(super) fn audit_refused(
        &mut self,
        what: RefusedKind,
        name: &str,
    ) -> Result<(), EndpointError> {
        let habit = match what {
            RefusedKind::Channel | RefusedKind::Data => Habit::No,
            RefusedKind::ChannelRequest => self.habits.look(What::ChannelRequest, name, None),
            RefusedKind::GlobalRequest => self.habits.look(What::GlobalRequest, name, None),
        };
        match habit {
            Habit::Again => return Ok(()),
            Habit::First => {}
            Habit::No => {
                self.refused += 1;
                if self.refused > MAX_REFUSED {
                    return Err(EndpointError::Breach("too much that is not permitted"));
                }
            }
        }
        let not_passed = NotPassed {
            what,
            from: "client",
            name: name.to_owned(),
            detail: None,
            user: self.caller.identity.name().to_owned(),
            login: None,
            target: None,
            client_addr: self.caller.address,
            connection: Some(self.id),
            session: None,
        };
        self.services
            .audit
            .emit_or_log(&not_passed.event(habit == Habit::First));
        Ok(())
    }
}

/// Sends the reason to sessions without a request, and closes them.
fn close_idle_sessions(channels: &mut BTreeMap<u32, Channel>, text: &str) {
    for channel in channels.values_mut() {
        if let Channel::Session { stream, .. } = channel
            && let Some(stream) = stream.take()
        {
            stream.handle().stderr(&format!("{text}\r\n"));
        }
    }
}

async fn sleep_until(moment: Option<Instant>) {
    tokio::time::sleep_until(moment.unwrap_or_else(Instant::now)).await;
}
