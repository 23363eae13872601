//! ProxyJump: the login at the host uses the agent of the inner connection.
//!
//! The user's ssh is accepted before the host is dialled, opens its session, and forwards its agent.
//! Meanwhile no data of the session is relayed: the client is granted no window, and its requests
//! wait. When the host has opened a session too, the relay takes over both. Until then, every refusal
//! is sent as the output of a session that ends.
//!
//! Both connections are endpoints (`ssh::endpoint`) that keep a channel for the relay. What the client
//! may do is in `client`, what the host may in `host`; here are the legs and the time.

mod client;
mod host;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use self::client::{JumpClient, NUMBER as SESSION, Step};
use super::bridge::Handoff;
use super::channel::{AGENT_WINDOW, ChannelStream, MAX_PACKET, STDERR_LIMIT, Terms};
use super::endpoint::{ChannelRoom, Endpoint, KeepLimits, LegOutlet};
use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{Refusal, agent_not_forwarded_by_jump};
use super::upstream::Upstream;
use crate::relay::{ExistingChannel, Side, first_grant};
use crate::wire::connection::{Breach, EXIT_REFUSED, Message};

/// Our number of the agent's channel; not used by the relay.
const AGENT: u32 = u32::MAX;
/// What is taken on the agent's channel.
const AGENT_TERMS: Terms = Terms {
    window: AGENT_WINDOW,
    max_window: AGENT_WINDOW,
    max_packet: MAX_PACKET,
};
/// What may wait for the host.
const KEPT: KeepLimits = KeepLimits {
    packets: 2048,
    bytes: 256 * 1024,
};
/// How many bytes of replies a client may leave unread; beyond that, its packets are not read.
const MAX_UNREAD: usize = 256 * 1024;
/// How long the client may take to request agent forwarding, and to open the channel to its agent.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long sending a refusal may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a client may stay connected after its session; a shared connection stays.
const HANG_UP: Duration = Duration::from_millis(500);

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client gets this refusal.
    Refused(Refusal),
    /// The client is gone, or broke the protocol.
    Gone(LegError),
}

impl From<LegError> for Ended {
    fn from(error: LegError) -> Self {
        Self::Gone(error)
    }
}

impl From<Breach> for Ended {
    fn from(breach: Breach) -> Self {
        Self::Gone(breach.into())
    }
}

/// The inner connection until the host is connected.
#[derive(Debug)]
pub(crate) struct JumpSetup<'a> {
    leg: &'a mut Leg<ChannelStream>,
    endpoint: Endpoint,
    client: JumpClient,
    wake: Arc<Notify>,
}

impl<'a> JumpSetup<'a> {
    pub(crate) fn new(leg: &'a mut Leg<ChannelStream>) -> Self {
        let wake = Arc::new(Notify::new());
        Self {
            leg,
            endpoint: Endpoint::new(Arc::clone(&wake), KEPT),
            client: JumpClient::default(),
            wake,
        }
    }

    /// Waits until the client forwards its agent; returns the channel to it.
    ///
    /// # Errors
    /// When it starts its session without agent forwarding, or is gone.
    pub(crate) async fn agent(&mut self) -> Result<ChannelStream, Ended> {
        match tokio::time::timeout(ASK_TIMEOUT, self.ask()).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Ended::Refused(agent_not_forwarded_by_jump())),
        }
    }

    async fn ask(&mut self) -> Result<ChannelStream, Ended> {
        loop {
            match self.client.next_step() {
                Step::Wait => self.next().await?,
                Step::OpenAgent(kind) => {
                    self.endpoint.open(AGENT, kind, AGENT_TERMS);
                    self.send_answers()?;
                }
                Step::NoAgent => return Err(Ended::Refused(agent_not_forwarded_by_jump())),
                Step::Dial(agent) => return Ok(agent),
            }
        }
    }

    /// Serves the agent's channel while `work` uses it.
    ///
    /// # Errors
    /// Those of `work`, and when the client is gone.
    pub(crate) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Ended> {
        tokio::pin!(work);
        let wake = Arc::clone(&self.wake);
        loop {
            while self.leg.takes(MAX_UNREAD)
                && let Some(event) = self.leg.poll_event()?
            {
                self.take(event)?;
            }
            self.pump()?;
            let read = self.leg.takes(MAX_UNREAD);
            tokio::select! {
                done = &mut work => return done.map_err(Ended::Refused),
                moved = self.leg.transfer(read) => {
                    moved?;
                }
                () = wake.notified() => {}
            }
        }
    }

    /// Opens the session at the host, and passes the waiting packets on to the relay.
    ///
    /// # Errors
    /// When the host opens none, or the client is gone.
    pub(crate) async fn hand_over<S>(
        &mut self,
        upstream: &mut Upstream<S>,
    ) -> Result<Handoff, Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // What the user was told is taken from the client's window before the host is told of it.
        self.pump()?;
        let no_session = || Ended::Refused(agent_not_forwarded_by_jump());
        if !self.client.hand_over() {
            return Err(no_session());
        }
        let session = self.endpoint.peer(SESSION).ok_or_else(no_session)?;
        let host = self
            .during(host::open_session(&mut upstream.leg, session))
            .await?;
        self.close_agent().await?;
        let relayed = Endpoint::new(Arc::clone(&self.wake), KeepLimits::NOTHING);
        let endpoint = std::mem::replace(&mut self.endpoint, relayed);
        let client = endpoint.into_relay(SESSION).ok_or_else(no_session)?;
        let granted = Message::WindowAdjust {
            recipient: client.peer.number,
            bytes: first_grant(host.peer.window),
        };
        let (head, body) = granted.encode();
        let sent = self.leg.transport.send_parts(&head, &body);
        sent.map_err(LegError::from)?;
        let from_host = host.packets.into_iter().map(|packet| (Side::Host, packet));
        let packets = client.packets.into_iter();
        let from_client = packets.map(|packet| (Side::Client, packet));
        Ok(Handoff {
            adopted: Some(ExistingChannel {
                client_number: client.peer.number,
                client_window: client.peer.window,
                client_max_packet: client.peer.max_packet,
                host_number: host.peer.number,
                host_window: host.peer.window,
                host_max_packet: host.peer.max_packet,
            }),
            packets: from_host.chain(from_client).collect(),
        })
    }

    /// Sends the user the reason why there is no session: accepts the request, writes to stderr,
    /// and ends with status 255. OpenSSH shows no output of a session whose start fails.
    pub(crate) async fn refuse(&mut self, text: &str) {
        // A client that leaves early does not read the reason.
        let _elapsed = tokio::time::timeout(FAREWELL, self.tell(text)).await;
    }

    async fn tell(&mut self, text: &str) -> Result<(), Ended> {
        let session = loop {
            match self.client.refuse() {
                Some(session) => break session,
                None => self.next().await?,
            }
        };
        self.endpoint.release(SESSION, &mut self.client)?;
        let handle = session.handle();
        handle.stderr(text);
        handle.exit_status(EXIT_REFUSED);
        drop(session);
        // The client disconnects when all its channels are closed, including the agent's. The agent is
        // not needed any more; a channel that is still being opened is closed once it is open.
        self.pump()?;
        while self.endpoint.has(SESSION) {
            self.next().await?;
            self.pump()?;
        }
        let last = async {
            loop {
                self.next().await?;
                self.pump()?;
            }
        };
        tokio::time::timeout(HANG_UP, last).await.unwrap_or(Ok(()))
    }

    /// Writes to the session's stderr as far as the client's window permits, and subtracts that from
    /// the window that the host will get. Without a session, nothing is written.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Ended> {
        let window = self.endpoint.peer(SESSION).map_or(0, |peer| peer.window);
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        // What has no room now is not kept: the next text must not wait behind it.
        let (mut rest, _cut) = text.split_at(text.floor_char_boundary(window));
        while let Some(session) = self.client.session()
            && !rest.is_empty()
        {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(STDERR_LIMIT));
            session.handle().stderr(piece);
            rest = after;
            self.pump()?;
        }
        Ok(())
    }

    /// Closes the channel to the agent, and waits until the client has closed it too: the relay
    /// does not know this channel.
    async fn close_agent(&mut self) -> Result<(), Ended> {
        let closing = async {
            self.pump()?;
            while self.endpoint.has(AGENT) {
                self.next().await?;
                self.pump()?;
            }
            Ok(())
        };
        match tokio::time::timeout(FAREWELL, closing).await {
            Ok(closed) => closed,
            Err(_elapsed) => Err(Ended::Gone(LegError::Timeout(FAREWELL))),
        }
    }

    async fn next(&mut self) -> Result<(), Ended> {
        loop {
            let read = self.leg.takes(MAX_UNREAD);
            if read && let Some(event) = self.leg.poll_event()? {
                return self.take(event);
            }
            self.leg.transfer(read).await?;
        }
    }

    fn take(&mut self, event: LegEvent) -> Result<(), Ended> {
        if let LegEvent::Packet(payload) = event {
            self.endpoint.on_packet(&payload, &mut self.client)?;
            self.send_answers()?;
        }
        Ok(())
    }

    fn send_answers(&mut self) -> Result<(), Ended> {
        let mut outlet = LegOutlet::new(self.leg, usize::MAX);
        Ok(self.endpoint.send_answers(&mut outlet)?)
    }

    fn pump(&mut self) -> Result<(), Ended> {
        let mut outlet = LegOutlet::new(self.leg, usize::MAX);
        self.endpoint.pump(&mut outlet, ChannelRoom::USUAL)?;
        Ok(())
    }
}
