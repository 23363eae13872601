//! The pump between the inner and the upstream leg: decrypt, record, translate, encrypt.
//!
//! One task, no queue between the legs. What a read brought is recorded as a whole and safely stored
//! before any of it is sent on. Reading one side never waits for writing the other: neither side can
//! be handed more than the other has granted.

mod commands;
#[cfg(test)]
mod faults;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::access::Permissions;
use crate::relay::{ExistingChannel, Outgoing, Peers, Relay, Side};
use crate::session::{Recorder, SessionCommand};
use crate::ssh::budget::Share;
use crate::ssh::end_reason::{EndReason, Goodbye};
use crate::ssh::leg::{Leg, LegEvent};
use crate::ssh::policy_monitor::{AuditContext, PolicyChange, PolicyMonitor};
use crate::ssh::scope::Scope;
use crate::ssh::timers::{ConnectionTimers, Expired};
use crate::wire::connection::number;

/// Output that may wait for one side before nothing is read that could add to it: from the other side, and from
/// that side itself, which is answered too. A peer that reads what it is sent is never held up by more than that.
/// Less may wait when the budget is used up.
const BACKLOG: usize = 2 * 1024 * 1024;

/// Packets of one side that are translated before they are sent on: compressed, a single read can
/// hold far more than its size.
const BATCH: usize = 256;
/// The same in bytes.
const BATCH_BYTES: usize = 512 * 1024;

/// How soon a silent session gives back its compressor's memory. Sooner would cost bytes on the disk each
/// time.
const REST: Duration = Duration::from_secs(60);
/// The same when the budget is used up.
const SHORT_REST: Duration = Duration::from_secs(1);

/// How long a client whose sessions were ended has to leave.
const LINGER: Duration = Duration::from_millis(300);

/// How long a client whose sessions are to be ended has to grant room for the reason.
const ROOM: Duration = Duration::from_secs(1);

/// Bytes after which the outer connection has its turn, so that they leave while they are still in
/// the processor's cache.
const TURN: usize = 64 * 1024;

/// What sending counts for in a turn.
const SENT: usize = 4 * 1024;

/// What the user reads when SSH inside a forward is closed. `CR LF` because it may reach a terminal in
/// raw mode.
const NESTED_SSH: &str = "\r\nrproxy: proxy: SSH inside a forward is not permitted here, it could not be recorded\r\n  hint: go to the other host through the proxy instead\r\n";

/// What happened on both legs before the relay began. Empty where the host was there first.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    /// The session that is open on both sides.
    pub(crate) adopted: Option<ExistingChannel>,
    /// Packets that nobody has answered, in the order of their sides.
    pub(crate) packets: Vec<(Side, Bytes)>,
}

/// What a relay learns while it goes on.
#[derive(Debug)]
enum ConnectionUpdate {
    /// What it may carry from now on.
    Permissions(Arc<Permissions>),
    /// The proxy stops, at this time at the latest.
    Stopping(Instant),
}

/// What can end a relay beside its two sides.
#[derive(Debug)]
pub(crate) struct RelayLimits {
    /// Time.
    pub(crate) watch: ConnectionTimers,
    /// Revocation, and what the policy says.
    pub(crate) watched: PolicyMonitor,
    /// The end of the outer connection, or of the proxy.
    pub(crate) scope: Scope,
    /// An administrator.
    pub(crate) orders: mpsc::Receiver<SessionCommand>,
    /// What is held for the connection.
    pub(crate) share: Share,
}

/// Relays until one side is done, and closes the other.
pub(crate) async fn run<C, H>(
    (client, host): (Leg<C>, Leg<H>),
    recorder: Recorder,
    prelude: Handoff,
    limits: RelayLimits,
) where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    let RelayLimits {
        watch,
        watched,
        scope,
        orders,
        share,
    } = limits;
    let witness = watched.witness();
    let is_openssh =
        |ident: Option<&str>| ident.is_some_and(|ident| ident.starts_with("SSH-2.0-OpenSSH"));
    let peers = Peers {
        client_is_openssh: is_openssh(client.transport.peer_ident()),
        host_is_openssh: is_openssh(host.transport.peer_ident()),
        host_knows_agent_req: host.transport.peer_extensions().agent_forward,
    };
    let mut bridge = Bridge {
        client,
        host,
        recorder,
        relay: Relay::new(peers, watched.permissions()),
        watch,
        share,
        told_of_nested_ssh: false,
        planned: Vec::new(),
    };
    let end = match bridge.begin(prelude) {
        Ok(()) => {
            let (sender, news) = mpsc::channel(1);
            let ends = pin!(ends(watched, scope, sender));
            bridge.drive(ends, news, orders).await
        }
        Err(end) => end,
    };
    bridge.finish(end, Some(&witness)).await;
}

/// Waits until something else than the two sides ends the relay, and passes on meanwhile what else
/// changes for it.
async fn ends(
    mut watched: PolicyMonitor,
    scope: Scope,
    news: mpsc::Sender<ConnectionUpdate>,
) -> EndReason {
    loop {
        tokio::select! {
            change = watched.change() => {
                let new = match change {
                    PolicyChange::End(end) => return end,
                    PolicyChange::Permissions(new) => ConnectionUpdate::Permissions(new),
                    PolicyChange::Stopping(at) => ConnectionUpdate::Stopping(at),
                };
                // Nobody takes it only where the relay ends by itself.
                let _taken: Result<(), _> = news.send(new).await;
            }
            end = scope.ended() => return end,
        }
    }
}

#[derive(Debug)]
struct Bridge<C, H> {
    client: Leg<C>,
    host: Leg<H>,
    recorder: Recorder,
    relay: Relay,
    watch: ConnectionTimers,
    share: Share,
    /// The user knows that SSH inside a forward is closed.
    told_of_nested_ssh: bool,
    /// What the packets of one read amount to, until it is recorded.
    planned: Vec<Outgoing>,
}

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Goes on where the prelude has stopped.
    fn begin(&mut self, prelude: Handoff) -> Result<(), EndReason> {
        if let Some(adopted) = prelude.adopted {
            self.relay.adopt(adopted);
        }
        for (from, payload) in prelude.packets {
            self.relay
                .on_packet(from, &payload, &mut self.recorder, &mut self.planned)?;
        }
        self.recorder.commit()?;
        self.send_planned()
    }

    /// Relays until one side, `ends` or an order puts an end to it, and takes the `news` meanwhile.
    async fn drive(
        &mut self,
        mut ends: Pin<&mut impl Future<Output = EndReason>>,
        mut news: mpsc::Receiver<ConnectionUpdate>,
        mut orders: mpsc::Receiver<SessionCommand>,
    ) -> EndReason {
        // Bytes read since everything else had its turn.
        let mut since_turn = 0;
        loop {
            if let Err(end) = self.relay_packets() {
                return end;
            }
            self.client.send_ready().await;
            self.host.send_ready().await;
            self.count_held();
            let room = self.room();
            // While there are bytes, timers and signals are looked at once a turn: each look costs.
            if since_turn < TURN {
                match poll_fn(|context| {
                    Poll::Ready(poll_legs(&mut self.client, &mut self.host, room, context))
                })
                .await
                {
                    Poll::Ready(Ok(bytes)) => {
                        since_turn += bytes.max(SENT);
                        continue;
                    }
                    Poll::Ready(Err(end)) => return end,
                    Poll::Pending => {}
                }
            } else {
                tokio::task::yield_now().await;
            }
            since_turn = 0;
            let idle = self.until_rest();
            tokio::select! {
                biased;
                end = &mut ends => return end,
                Some(new) = news.recv() => match new {
                    ConnectionUpdate::Permissions(permissions) => self.permit(permissions),
                    ConnectionUpdate::Stopping(at) => self.watch.stops_at(at),
                },
                Some(order) = orders.recv() => {
                    if let Err(end) = self.obey(&order) {
                        return end;
                    }
                }
                due = self.watch.due() => {
                    if let Err(end) = self.on_time(due) {
                        return end;
                    }
                }
                () = tokio::time::sleep(idle.unwrap_or_default()), if idle.is_some() => {
                    if self.until_rest() == Some(Duration::ZERO)
                        && let Err(lost) = self.recorder.rest()
                    {
                        return lost.into();
                    }
                }
                read = poll_fn(|context| poll_legs(&mut self.client, &mut self.host, room, context)) => {
                    match read {
                        Ok(bytes) => since_turn = bytes,
                        Err(end) => return end,
                    }
                }
            }
        }
    }

    /// Tells the budget what waits here.
    fn count_held(&mut self) {
        let held = self.client.held() + self.host.held() + self.recorder.held();
        self.share.hold(held);
    }

    /// How much may wait for a side before what could add to it is not read.
    fn room(&self) -> usize {
        self.share.room(BACKLOG)
    }

    /// How long until silent sessions give back memory, if they have any to give.
    fn until_rest(&self) -> Option<Duration> {
        let after = if self.share.is_ample() {
            REST
        } else {
            SHORT_REST
        };
        self.recorder.until_rest(after)
    }

    /// Puts other permissions in force. What follows from it is sent with what is relayed next.
    fn permit(&mut self, permissions: Arc<Permissions>) {
        let (recorder, planned) = (&mut self.recorder, &mut self.planned);
        let ended = self.relay.permit(permissions, recorder, planned);
        // As with warnings: what a program reads stays what the host has said.
        if ended > 0 && self.recorder.has_terminal() {
            self.watch.tell(&format!(
                "\r\nrproxy: proxy: forwarding is no longer permitted as it was, {ended} ended\r\n"
            ));
        }
    }

    fn on_time(&mut self, due: Expired) -> Result<(), EndReason> {
        match due {
            // A host that is not listened to is not silent.
            Expired::AskHost | Expired::End(EndReason::HostLost(_))
                if !self.has_room(Side::Client) =>
            {
                self.watch.host_said();
            }
            Expired::AskHost => self.relay.ask(Side::Host, &mut self.planned),
            // Only to somebody at a terminal: what a program reads stays what the host has said.
            Expired::Warn(left) if self.recorder.has_terminal() => {
                self.watch.warn(left);
            }
            Expired::TellOfStop(left) if self.recorder.has_terminal() => {
                self.watch.tell_of_stop(left);
            }
            Expired::Warn(_) | Expired::TellOfStop(_) => {}
            Expired::End(end) => return Err(end),
        }
        Ok(())
    }

    /// Takes what both legs have decrypted, records it, and only then passes it on.
    fn relay_packets(&mut self) -> Result<(), EndReason> {
        loop {
            let planned = self.plan_both();
            // What a side said before it left comes first. Not what came with a breach.
            if planned.as_ref().err().is_none_or(EndReason::is_of_leg) {
                self.recorder.commit()?;
                // Before the channel's end is sent: who is told may be gone then.
                if self.relay.has_closed_nested_ssh() {
                    self.tell_of_nested_ssh();
                }
                self.send_planned()?;
            }
            if !planned? {
                return Ok(());
            }
        }
    }

    /// Translates what both legs have decrypted; `true` when there may be more of it at once.
    fn plan_both(&mut self) -> Result<bool, EndReason> {
        let client_has_more = self.plan(Side::Client)?;
        let host_has_more = self.plan(Side::Host)?;
        Ok(client_has_more || host_has_more)
    }

    /// Translates what one leg has decrypted; `true` when there may be more of it at once.
    fn plan(&mut self, from: Side) -> Result<bool, EndReason> {
        let mut bytes = 0;
        for _ in 0..BATCH {
            if !self.has_room(from.other()) || !self.takes(from) {
                return Ok(false);
            }
            match self.poll_event(from)? {
                None => return Ok(false),
                Some(LegEvent::Packet(payload)) => {
                    bytes += payload.len();
                    match from {
                        Side::Client => self.watch.client_said(&payload),
                        Side::Host => self.watch.host_said(),
                    }
                    self.relay
                        .on_packet(from, &payload, &mut self.recorder, &mut self.planned)?;
                }
                Some(LegEvent::HostKey(_) | LegEvent::Established) => {}
            }
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// ssh says nothing of a forwarded channel that is closed: whoever wonders why reads it once.
    fn tell_of_nested_ssh(&mut self) {
        if !std::mem::replace(&mut self.told_of_nested_ssh, true) {
            self.watch.tell(NESTED_SSH);
        }
    }

    fn has_room(&mut self, side: Side) -> bool {
        let room = self.room();
        match side {
            Side::Client => self.client.has_room(room),
            Side::Host => self.host.has_room(room),
        }
    }

    fn takes(&mut self, side: Side) -> bool {
        let room = self.room();
        match side {
            Side::Client => self.client.takes(room),
            Side::Host => self.host.takes(room),
        }
    }

    fn poll_event(&mut self, from: Side) -> Result<Option<LegEvent>, EndReason> {
        let event = match from {
            Side::Client => self.client.poll_event(),
            Side::Host => self.host.poll_event(),
        };
        event.map_err(|error| EndReason::of_leg(from, error))
    }

    fn send_planned(&mut self) -> Result<(), EndReason> {
        for Outgoing { to, message } in self.planned.drain(..) {
            let (head, body) = message.encode();
            let transport = match to {
                Side::Client => &mut self.client.transport,
                Side::Host => &mut self.host.transport,
            };
            transport
                .send_parts(&head, &body)
                .map_err(|error| EndReason::of_leg(to, error.into()))?;
        }
        Ok(())
    }

    /// Tells both sides, as far as they still listen, and closes the recordings. `audit` has what is
    /// audited beside the end of each session.
    async fn finish(mut self, mut end: EndReason, audit: Option<&AuditContext>) {
        // What the host says reaches the client where it is recorded, and nowhere else.
        if let EndReason::HostDisconnected(Some(text)) = &end
            && !self.recorder.last_words(Side::Host, text)
        {
            end = EndReason::HostDisconnected(None);
        }
        let connection = self.recorder.connection();
        let ending = end.ending(connection);
        if ending.is_breach {
            tracing::info!(%connection, error = %end, "protocol error, the connection ends");
        } else {
            tracing::debug!(%connection, %end, "the relay ended");
        }
        if let (Some(refusal), Some(audit)) = (&ending.refusal, audit) {
            audit.tell(refusal);
        }
        // What is still planned was not recorded, or is owed to a side that broke the protocol.
        self.planned.clear();
        let has_last_words = match &ending.last_words {
            Some(text) => self.show(text).await,
            None => false,
        };
        self.relay.abandon_all(&mut self.recorder);
        self.recorder.end(ending.name);
        if has_last_words {
            self.linger().await;
        }
        if let Some(Goodbye { code, text }) = ending.client {
            self.client.disconnect(code, &text).await;
        }
        if let Some(Goodbye { code, text }) = ending.host {
            self.host.disconnect(code, &text).await;
        }
    }

    /// Shows the last words on the terminal of each session. `false` where there is no room for them:
    /// what the disconnect says is shown instead.
    async fn show(&mut self, text: &str) -> bool {
        if !self.make_room(text.len()).await {
            return false;
        }
        self.relay.abandon_all(&mut self.recorder);
        self.relay.end_all(text, &mut self.planned);
        self.planned.retain(|outgoing| outgoing.to == Side::Client);
        // A client that is gone is told nothing.
        drop(self.send_planned());
        true
    }

    /// Waits a little until the client has granted room for so many bytes: in the middle of a download it may
    /// have none left. `false` where it does not. Whatever else it says comes too late.
    async fn make_room(&mut self, length: usize) -> bool {
        let granted = async {
            while !self.relay.has_room_for(length) {
                let Ok(event) = self.client.next().await else {
                    return;
                };
                let LegEvent::Packet(payload) = event else {
                    continue;
                };
                if payload.first() == Some(&number::CHANNEL_WINDOW_ADJUST) {
                    let (recorder, planned) = (&mut self.recorder, &mut self.planned);
                    let heard = self
                        .relay
                        .on_packet(Side::Client, &payload, recorder, planned);
                    // The host needs no window any more.
                    planned.clear();
                    if heard.is_err() {
                        return;
                    }
                }
            }
        };
        let _in_vain = tokio::time::timeout(ROOM, granted).await;
        self.relay.has_room_for(length)
    }

    /// Lets the client read its last words and leave by itself: ssh drops what it has not shown yet
    /// when it is disconnected.
    async fn linger(&mut self) {
        let leaves = async { while self.client.next().await.is_ok() {} };
        let _stays = tokio::time::timeout(LINGER, leaves).await;
    }
}

/// Moves bytes on both legs; returns how many were read, once something has moved.
fn poll_legs<C, H>(
    client: &mut Leg<C>,
    host: &mut Leg<H>,
    room: usize,
    context: &mut Context<'_>,
) -> Poll<Result<usize, EndReason>>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    let read_client = host.has_room(room) && client.takes(room);
    let read_host = client.has_room(room) && host.takes(room);
    let client = client
        .poll_transfer(context, read_client)
        .map_err(|error| EndReason::of_leg(Side::Client, error))?;
    let host = host
        .poll_transfer(context, read_host)
        .map_err(|error| EndReason::of_leg(Side::Host, error))?;
    match (client, host) {
        (Poll::Ready(client), Poll::Ready(host)) => Poll::Ready(Ok(client + host)),
        (one, Poll::Pending) | (Poll::Pending, one) => one.map(Ok),
    }
}
