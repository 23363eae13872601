//! ProxyJump: the login at the host uses the agent of the inner connection.
//!
//! The user's ssh is accepted before the host is dialled, opens its session, and forwards its agent.
//! Meanwhile no data of the session is relayed: the client is granted no window, and its requests
//! wait. When the host has opened a session too, the relay takes over both. Until then, every refusal
//! is sent as the output of a session that ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::bridge::Handoff;
use super::channel::{
    AGENT_WINDOW, ChannelPort, ChannelStream, MAX_PACKET as AGENT_PACKET, Port, channel,
};
use super::leg::{Leg, LegError, LegEvent};
use super::refusal::{self, FORWARDS_NEED_SESSION, Refusal, agent_not_forwarded_by_jump};
use super::upstream::Upstream;
use crate::model::text::Printable;
use crate::relay::{ExistingChannel, Side, first_grant};
use crate::wire::connection::{
    AGENT_REQ, AGENT_REQ_OPENSSH, EXIT_REFUSED, Ending, Message, Name, OpenFailure, STDERR,
    agent_channel, number,
};

/// Our number of the session's channel, on both sides.
const SESSION: u32 = 0;
/// Our number of the agent's channel; not used by the relay.
const AGENT: u32 = u32::MAX;
/// The most data that the client may send in one message: the smallest limit of known hosts.
const MAX_PACKET: u32 = 16 * 1024;
/// How many bytes of packets may wait for the host.
const MAX_QUEUE: usize = 256 * 1024;
/// How many bytes each packet counts for in addition to its content.
const OVERHEAD: usize = 128;
/// How many bytes of replies a client may leave unread; beyond that, its packets are not read.
const MAX_UNREAD: usize = 256 * 1024;
/// How many packets, and bytes of them, the host may send beside the answer to the opening.
const MAX_EARLY: (usize, usize) = (64, 256 * 1024);
/// How many characters of the host's reason the user reads if the host opens no session.
const MAX_TEXT: usize = 256;
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

/// The client's session.
#[derive(Clone, Copy, Debug)]
struct Session {
    number: u32,
    window: u32,
    max_packet: u32,
}

/// The agent's channel.
#[derive(Debug)]
enum AgentChannel {
    Closed,
    Opening(ChannelPort),
    Open(Port),
    Failed,
}

/// The inner connection until the host is connected.
#[derive(Debug)]
pub(crate) struct JumpSetup<'a> {
    leg: &'a mut Leg<ChannelStream>,
    session: Option<Session>,
    agent_asked: bool,
    /// Agent forwarding was requested by the name of RFC 9987.
    agent_is_by_rfc: bool,
    agent: AgentChannel,
    started: bool,
    /// The client has closed its session.
    closed: bool,
    queue: VecDeque<Bytes>,
    queued: usize,
    wake: Arc<Notify>,
}

impl<'a> JumpSetup<'a> {
    pub(crate) fn new(leg: &'a mut Leg<ChannelStream>) -> Self {
        Self {
            leg,
            session: None,
            agent_asked: false,
            agent_is_by_rfc: false,
            agent: AgentChannel::Closed,
            started: false,
            closed: false,
            queue: VecDeque::new(),
            queued: 0,
            wake: Arc::new(Notify::new()),
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
        while !self.agent_asked {
            if self.started {
                return Err(Ended::Refused(agent_not_forwarded_by_jump()));
            }
            self.next().await?;
        }
        let (stream, port) = channel(Arc::clone(&self.wake));
        self.agent = AgentChannel::Opening(port);
        self.send(&Message::Open {
            kind: Name::from_static(agent_channel(self.agent_is_by_rfc)),
            sender: AGENT,
            window: AGENT_WINDOW,
            max_packet: AGENT_PACKET,
            data: Bytes::new(),
        })?;
        loop {
            match self.agent {
                AgentChannel::Open(_) => return Ok(stream),
                AgentChannel::Failed => return Err(Ended::Refused(agent_not_forwarded_by_jump())),
                AgentChannel::Closed | AgentChannel::Opening(_) => self.next().await?,
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
    /// When the host opens no session, or the client is gone.
    pub(crate) async fn hand_over<S>(
        &mut self,
        upstream: &mut Upstream<S>,
    ) -> Result<Handoff, Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(session) = self.session else {
            return Err(Ended::Refused(agent_not_forwarded_by_jump()));
        };
        let mut packets = Vec::new();
        let (host_number, host_window, host_max_packet) = self
            .during(open_at_host(upstream, session, &mut packets))
            .await?;
        self.close_agent().await?;
        self.send(&Message::WindowAdjust {
            recipient: session.number,
            bytes: first_grant(host_window),
        })?;
        packets.extend(self.queue.drain(..).map(|payload| (Side::Client, payload)));
        let adopted = ExistingChannel {
            client_number: session.number,
            client_window: session.window,
            client_max_packet: session.max_packet,
            host_number,
            host_window,
            host_max_packet,
        };
        Ok(Handoff {
            adopted: Some(adopted),
            packets,
        })
    }

    /// Sends the user the reason why there is no session: accepts the request, writes to stderr,
    /// and ends with status 255. OpenSSH shows no output of a session whose start fails.
    pub(crate) async fn refuse(&mut self, text: &str) {
        // A client that leaves early does not read the reason.
        let _elapsed = tokio::time::timeout(FAREWELL, self.tell(text)).await;
    }

    async fn tell(&mut self, text: &str) -> Result<(), Ended> {
        while !self.started {
            self.next().await?;
        }
        let Some(session) = self.session else {
            return Ok(());
        };
        let recipient = session.number;
        for payload in std::mem::take(&mut self.queue) {
            if let Ok(Message::Request {
                recipient: SESSION,
                want_reply: true,
                ..
            }) = Message::parse(&payload)
            {
                self.send(&Message::Success { recipient })?;
            }
        }
        self.say(text)?;
        let (mut ending, mut status) = (Ending::default(), Some(EXIT_REFUSED));
        while let Some(message) = ending.next(recipient, status.take(), true) {
            self.send(&message)?;
        }
        // The client disconnects when all its channels are closed, including the agent's. The agent is
        // not needed any more; a channel that is still being opened is closed once it is open.
        while !self.closed {
            self.pump()?;
            self.next().await?;
        }
        let last = async {
            loop {
                self.pump()?;
                self.next().await?;
            }
        };
        tokio::time::timeout(HANG_UP, last).await.unwrap_or(Ok(()))
    }

    /// Writes to the session's stderr as far as the client's window permits, and subtracts that from
    /// the window that the host will get. Without a session, nothing is written.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Ended> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let (recipient, most) = (session.number, session.max_packet.min(MAX_PACKET));
        let window = usize::try_from(session.window).unwrap_or(usize::MAX);
        let text = text.as_bytes();
        let text = text.get(..window).unwrap_or(text);
        session.window -= u32::try_from(text.len()).unwrap_or(session.window);
        // If the client accepts no data in one message, nothing is sent.
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for piece in text
            .chunks(most.max(1))
            .take(if most == 0 { 0 } else { usize::MAX })
        {
            self.send(&Message::ExtendedData {
                recipient,
                code: STDERR,
                data: Bytes::copy_from_slice(piece),
            })?;
        }
        Ok(())
    }

    /// Closes the channel to the agent, and waits until the client has closed it too: the relay
    /// does not know this channel.
    async fn close_agent(&mut self) -> Result<(), Ended> {
        let closing = async {
            loop {
                self.pump()?;
                match &self.agent {
                    AgentChannel::Open(port) if !port.is_over() => {}
                    _ => return Ok(()),
                }
                self.next().await?;
            }
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

    fn send(&mut self, message: &Message) -> Result<(), Ended> {
        let (head, body) = message.encode();
        Ok(self
            .leg
            .transport
            .send_parts(&head, &body)
            .map_err(LegError::from)?)
    }

    fn pump(&mut self) -> Result<(), Ended> {
        while let AgentChannel::Open(port) = &mut self.agent
            && let Some(message) = port.next_message(AGENT_WINDOW)
        {
            self.send(&message)?;
        }
        Ok(())
    }

    fn take(&mut self, event: LegEvent) -> Result<(), Ended> {
        let LegEvent::Packet(payload) = event else {
            return Ok(());
        };
        let broken = || Ended::Gone(LegError::Closed);
        if number::is_authentication(&payload) {
            return Ok(());
        }
        let message = Message::parse(&payload).map_err(|_malformed| broken())?;
        match message {
            Message::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } if self.session.is_none() && data.is_empty() => self.open(
                &kind,
                Session {
                    number: sender,
                    window,
                    max_packet,
                },
            ),
            Message::OpenConfirmation {
                recipient: AGENT,
                sender,
                window,
                max_packet,
                ..
            } => match std::mem::replace(&mut self.agent, AgentChannel::Failed) {
                AgentChannel::Opening(port) => {
                    self.agent = AgentChannel::Open(Port::new(
                        port,
                        AGENT_WINDOW,
                        (sender, window, max_packet),
                    ));
                    Ok(())
                }
                _ => Err(broken()),
            },
            Message::OpenFailure {
                recipient: AGENT, ..
            } => {
                self.agent = AgentChannel::Failed;
                Ok(())
            }
            Message::Data {
                recipient: AGENT,
                data,
            } => {
                if self.agent_port()?.deliver(data) {
                    Ok(())
                } else {
                    Err(broken())
                }
            }
            Message::WindowAdjust {
                recipient: AGENT,
                bytes,
            } => {
                if self.agent_port()?.grant(bytes) {
                    Ok(())
                } else {
                    Err(broken())
                }
            }
            Message::Eof { recipient: AGENT } => {
                self.agent_port()?.deliver_eof();
                Ok(())
            }
            Message::Close { recipient: AGENT } => {
                let port = self.agent_port()?;
                port.got_close = true;
                port.hang_up();
                Ok(())
            }
            Message::Request {
                recipient: SESSION,
                kind,
                want_reply,
                ..
            } => self.request(kind.as_str(), want_reply, payload),
            Message::Close { recipient: SESSION } => {
                self.closed = true;
                self.hold(payload)
            }
            _ => self.hold(payload),
        }
    }

    fn agent_port(&mut self) -> Result<&mut Port, Ended> {
        match &mut self.agent {
            AgentChannel::Open(port) => Ok(port),
            _ => Err(Ended::Gone(LegError::Closed)),
        }
    }

    fn open(&mut self, kind: &Name, session: Session) -> Result<(), Ended> {
        if kind.as_str() != "session" {
            return self.send(&Message::OpenFailure {
                recipient: session.number,
                reason: OpenFailure::AdministrativelyProhibited as u32,
                text: Bytes::from_static(FORWARDS_NEED_SESSION.as_bytes()),
                language: Bytes::new(),
            });
        }
        self.session = Some(session);
        self.send(&Message::OpenConfirmation {
            recipient: session.number,
            sender: SESSION,
            window: 0,
            max_packet: MAX_PACKET,
            data: Bytes::new(),
        })
    }

    fn request(&mut self, kind: &str, want_reply: bool, payload: Bytes) -> Result<(), Ended> {
        if matches!(kind, AGENT_REQ | AGENT_REQ_OPENSSH) && !self.started {
            self.agent_is_by_rfc = kind == AGENT_REQ;
            // The agent was requested for the proxy's login; the host does not get it.
            self.agent_asked = true;
            return match self.session.filter(|_| want_reply) {
                Some(Session { number, .. }) => self.send(&Message::Success { recipient: number }),
                None => Ok(()),
            };
        }
        self.started |= matches!(kind, "shell" | "exec" | "subsystem");
        self.hold(payload)
    }

    fn hold(&mut self, payload: Bytes) -> Result<(), Ended> {
        self.queued += payload.len() + OVERHEAD;
        if self.queued > MAX_QUEUE {
            return Err(Ended::Gone(LegError::Closed));
        }
        // A copy: a waiting packet must not keep the whole read buffer that it arrived in.
        self.queue.push_back(Bytes::copy_from_slice(&payload));
        Ok(())
    }
}

/// Opens the client's session at the host; returns the host's channel number and limits.
async fn open_at_host<S>(
    upstream: &mut Upstream<S>,
    session: Session,
    packets: &mut Vec<(Side, Bytes)>,
) -> Result<(u32, u32, u32), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = refusal::no_host_session;
    let open = Message::Open {
        kind: Name::from_static("session"),
        sender: SESSION,
        window: first_grant(session.window),
        max_packet: session.max_packet,
        data: Bytes::new(),
    };
    let leg = &mut upstream.leg;
    let mut said = 0;
    let (head, body) = open.encode();
    leg.transport
        .send_parts(&head, &body)
        .map_err(|error| failed(&error))?;
    loop {
        let event = tokio::time::timeout(ASK_TIMEOUT, leg.next())
            .await
            .map_err(|_elapsed| failed(&LegError::Timeout(ASK_TIMEOUT)))?
            .map_err(|error| failed(&error))?;
        let LegEvent::Packet(payload) = event else {
            continue;
        };
        match Message::parse(&payload).map_err(|error| failed(&error))? {
            Message::OpenConfirmation {
                recipient: SESSION,
                sender,
                window,
                max_packet,
                ..
            } => {
                if max_packet < MAX_PACKET {
                    return Err(failed(&"it takes too little at a time for ProxyJump"));
                }
                return Ok((sender, window, max_packet));
            }
            Message::OpenFailure {
                recipient: SESSION,
                text,
                ..
            } => {
                let text = String::from_utf8_lossy(&text);
                return Err(failed(&Printable(&text).within(MAX_TEXT)));
            }
            _ => said += payload.len(),
        }
        if packets.len() >= MAX_EARLY.0 || said > MAX_EARLY.1 {
            return Err(failed(&"it says too much else"));
        }
        packets.push((Side::Host, payload));
    }
}
