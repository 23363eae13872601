//! The two legs of a relayed connection, each by its side.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::relay::{Outgoing, Peers, Side};
use crate::ssh::end_reason::EndReason;
use crate::ssh::leg::{Leg, LegEvent};

/// The inner leg and the upstream leg.
#[derive(Debug)]
pub(super) struct Legs<C, H> {
    pub(super) client: Leg<C>,
    pub(super) host: Leg<H>,
}

impl<C, H> Legs<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// What the relay needs to know about the software of both sides.
    pub(super) fn peers(&self) -> Peers {
        let is_openssh =
            |ident: Option<&str>| ident.is_some_and(|ident| ident.starts_with("SSH-2.0-OpenSSH"));
        let (client, host) = (&self.client.transport, &self.host.transport);
        Peers {
            client_is_openssh: is_openssh(client.peer_ident()),
            host_is_openssh: is_openssh(host.peer_ident()),
            host_knows_agent_req: host.peer_extensions().agent_forward,
        }
    }

    /// Whether less than `room` bytes wait for this side.
    pub(super) fn has_room(&mut self, side: Side, room: usize) -> bool {
        match side {
            Side::Client => self.client.has_room(room),
            Side::Host => self.host.has_room(room),
        }
    }

    /// Whether this side reads what it is sent.
    pub(super) fn takes(&mut self, side: Side, room: usize) -> bool {
        match side {
            Side::Client => self.client.takes(room),
            Side::Host => self.host.takes(room),
        }
    }

    /// The memory that both legs take up, in bytes.
    pub(super) fn held(&mut self) -> usize {
        self.client.held() + self.host.held()
    }

    /// The next event of the bytes that were read from this side.
    pub(super) fn poll_event(&mut self, from: Side) -> Result<Option<LegEvent>, EndReason> {
        let event = match from {
            Side::Client => self.client.poll_event(),
            Side::Host => self.host.poll_event(),
        };
        event.map_err(|error| EndReason::of_leg(from, error))
    }

    /// Queues messages for their sides.
    pub(super) fn send(&mut self, planned: &mut Vec<Outgoing>) -> Result<(), EndReason> {
        for Outgoing { to, message } in planned.drain(..) {
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

    /// Sends what can be sent without waiting.
    pub(super) async fn send_ready(&mut self) {
        self.client.send_ready().await;
        self.host.send_ready().await;
    }

    /// Moves bytes on both legs; returns how many were read, once something has moved. A side is read
    /// while less than `room` waits for the other one, and while it takes what it is sent.
    pub(super) fn poll_transfer(
        &mut self,
        room: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, EndReason>> {
        let Self { client, host } = self;
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
}
