//! The requests of an outer connection's client: a subsystem, or a jump.

use std::sync::Arc;

use bytes::Bytes;

use super::channel::{Channel, EndpointError};
use super::endpoint::Endpoint;
use crate::access::Permit;
use crate::audit::RefusedKind;
use crate::model::ConnectionId;
use crate::ssh::budget::{BudgetExceeded, Share};
use crate::ssh::caller::Caller;
use crate::ssh::channel::ChannelStream;
use crate::ssh::connection::Connection;
use crate::ssh::early;
use crate::ssh::endpoint::AgentOpener;
use crate::ssh::refusal::{self, Origin, Refusal};
use crate::wire::connection::{
    AGENT_REQ, AGENT_REQ_OPENSSH, EXIT_REFUSED, Fields, Message, Name, OpenFailure,
};

impl Endpoint {
    /// ProxyJump: `direct-tcpip` to `host:port` has the same meaning as `proxy:host:port`.
    pub(super) fn jump(
        &mut self,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: &Bytes,
    ) -> Result<(), EndpointError> {
        let mut fields = Fields::of_open(data);
        let host = String::from_utf8_lossy(&fields.string()?).into_owned();
        let port = fields.uint32()?;
        let id = ConnectionId::new();
        let name = format!("proxy:{host}:{port}");
        let free = self.free_number();
        let permit = match (self.leaving(), free) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(_)) => self.permit(&name),
            (None, None) => Err(refusal::too_many_channels()),
        };
        let Some(number) = free.or_else(|| self.courtesy_number()) else {
            let refusal = permit.err().unwrap_or_else(refusal::too_many_channels);
            self.services
                .audit
                .emit_or_log(&refusal.event(self.origin(id, Some(name))));
            return self.send(&Message::OpenFailure {
                recipient: sender,
                reason: OpenFailure::ConnectFailed as u32,
                text: refusal.line(id).into(),
                language: Bytes::new(),
            });
        };
        let (is_refused, jump) = (permit.is_err(), |port| Channel::Jump { port });
        let stream = self.admit(number, (sender, window, max_packet), is_refused, jump)?;
        match permit.and_then(|permit| Ok((permit, self.room()?))) {
            Ok((permit, share)) => self.connect((permit, share), id, None, stream),
            Err(refusal) => self.refuse(&refusal, id, Some(name), (stream, false)),
        }
        Ok(())
    }

    /// Decides where a name leads for this client.
    fn permit(&self, name: &str) -> Result<Permit, Refusal> {
        let Caller { identity, address } = &self.caller;
        let router = &self.services.inner.router;
        router.permit(identity, *address, name)
    }

    /// Sends the client of a channel the reason why it is refused, where its ssh shows it.
    fn refuse(
        &self,
        refusal: &Refusal,
        id: ConnectionId,
        target: Option<String>,
        (stream, has_stderr): (ChannelStream, bool),
    ) {
        self.services
            .audit
            .emit_or_log(&refusal.event(self.origin(id, target)));
        let (shown, text) = (Arc::clone(&self.shown), refusal.text(id));
        self.tasks
            .spawn(async move { early::refuse(stream, shown, has_stderr, &text).await });
    }

    /// A part of the memory budget for one more connection.
    fn room(&self) -> Result<Share, Refusal> {
        self.account.inner().map_err(BudgetExceeded::refusal)
    }

    fn connect(
        &self,
        (permit, share): (Permit, Share),
        id: ConnectionId,
        agent: Option<AgentOpener>,
        stream: ChannelStream,
    ) {
        let connection = Connection {
            services: Arc::clone(&self.services.inner),
            permit,
            id,
            client: self.caller.address,
            agent,
            shown: Arc::clone(&self.shown),
            scope: self.scope.clone(),
        };
        self.tasks.spawn(connection.run(stream, share));
    }

    pub(super) fn origin(&self, id: ConnectionId, target: Option<String>) -> Origin {
        Origin {
            client: self.caller.address,
            connection: id,
            user: Some(self.caller.identity.name().to_owned()),
            login: None,
            target,
        }
    }

    pub(super) fn request(
        &mut self,
        number: u32,
        kind: &Name,
        want_reply: bool,
        data: &Bytes,
    ) -> Result<(), EndpointError> {
        let recipient = self.port(number)?.recipient();
        let Some(Channel::Session {
            stream,
            forwards_agent,
            has_terminal,
            refusal,
            ..
        }) = self.channels.get_mut(&number)
        else {
            return Err(EndpointError::Breach(
                "a request on a channel that takes none",
            ));
        };
        let accepted = match kind.as_str() {
            AGENT_REQ | AGENT_REQ_OPENSSH => {
                *forwards_agent = true;
                self.agent_is_by_rfc = kind.as_str() == AGENT_REQ;
                true
            }
            "subsystem" | "shell" | "exec" => {
                let (forwards_agent, has_terminal) = (*forwards_agent, *has_terminal);
                let refusal = refusal.take();
                let Some(stream) = stream.take() else {
                    return self.answer(recipient, want_reply, false);
                };
                self.answer(recipient, want_reply, true)?;
                let name = match kind.as_str() {
                    "subsystem" => Some(Fields::of_request(data).string()?),
                    _ => None,
                };
                self.start(stream, name, refusal, (forwards_agent, has_terminal));
                return Ok(());
            }
            // ssh also requests its own environment and terminal; the proxy uses neither.
            "pty-req" => {
                *has_terminal = true;
                false
            }
            "env" | "window-change" | "keepalive@openssh.com" | "eow@openssh.com" => false,
            other => {
                let other = other.to_owned();
                self.audit_refused(RefusedKind::ChannelRequest, &other)?;
                false
            }
        };
        self.answer(recipient, want_reply, accepted)
    }

    pub(super) fn answer(
        &mut self,
        recipient: u32,
        want_reply: bool,
        accepted: bool,
    ) -> Result<(), EndpointError> {
        match (want_reply, accepted) {
            (false, _) => Ok(()),
            (true, true) => self.send(&Message::Success { recipient }),
            (true, false) => self.send(&Message::Failure { recipient }),
        }
    }

    /// Starts the connection that a session requests, or sends the user the reason why not: a reason that
    /// is known already, or a fault of the request.
    pub(super) fn start(
        &self,
        stream: ChannelStream,
        subsystem: Option<Bytes>,
        refusal: Option<Refusal>,
        (forwards_agent, has_terminal): (bool, bool),
    ) {
        let id = ConnectionId::new();
        let name = subsystem.as_deref().map(String::from_utf8_lossy);
        let permit = match (refusal, &name) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(name)) => self.permit(name),
            (None, None) => Err(refusal::no_shell(
                &self.services.inner.router.reached().command(),
            )),
        };
        let permit = permit.and_then(|permit| {
            if forwards_agent {
                Ok((permit, self.room()?))
            } else {
                Err(refusal::agent_not_forwarded())
            }
        });
        let refusal = match permit {
            Ok(permitted) => {
                return self.connect(permitted, id, Some(self.agent_opener.clone()), stream);
            }
            Err(refusal) => refusal,
        };
        let target = name.map(|name| name.into_owned());
        // A client with a terminal speaks no SSH inside the channel, so the user need not wait for
        // that to be detected.
        if has_terminal && target.is_none() {
            self.services
                .audit
                .emit_or_log(&refusal.event(self.origin(id, None)));
            let handle = stream.handle();
            handle.stderr(&refusal.text(id));
            handle.exit_status(EXIT_REFUSED);
        } else {
            self.refuse(&refusal, id, target, (stream, true));
        }
    }
}
