//! The way to a target: the subsystem `proxy:host:port`, or a jump.

use std::sync::Arc;

use bytes::Bytes;

use super::front::{Front, MAX_CHANNELS, MAX_COURTESIES, terms};
use crate::access::Permit;
use crate::model::ConnectionId;
use crate::ssh::budget::{BudgetExceeded, Share};
use crate::ssh::caller::Caller;
use crate::ssh::channel::ChannelStream;
use crate::ssh::connection::Connection;
use crate::ssh::early;
use crate::ssh::endpoint::{AgentOpener, OpenAnswered, OpenRequest, PendingSession};
use crate::ssh::refusal::{self, Refusal};
use crate::wire::connection::{Breach, EXIT_REFUSED, Fields, OpenFailure};

/// ProxyJump: `direct-tcpip` to `host:port` means what `proxy:host:port` does.
///
/// # Errors
/// The request is malformed.
pub(super) fn jump(front: &Front, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
    let mut fields = Fields::of_open(request.data());
    let host = String::from_utf8_lossy(&fields.string()?).into_owned();
    let port = fields.uint32()?;
    let id = ConnectionId::new();
    let name = format!("proxy:{host}:{port}");
    let channels = request.channels_of_peer();
    let permitted = match front.leaving() {
        Some(refusal) => Err(refusal),
        None if channels < MAX_CHANNELS => permit(front, &name),
        None => Err(refusal::too_many_channels()),
    };
    if channels >= MAX_CHANNELS + MAX_COURTESIES {
        let refusal = permitted.err().unwrap_or_else(refusal::too_many_channels);
        let event = refusal.event(front.origin(id, Some(name)));
        front.services.audit.emit_or_log(&event);
        return Ok(request.refuse(OpenFailure::ConnectFailed, refusal.line(id)));
    }
    let (answered, stream) = request.accept(terms(permitted.is_err()));
    match permitted.and_then(|permit| Ok((permit, room(front)?))) {
        Ok(permitted) => connect(front, permitted, id, None, stream),
        Err(refusal) => refuse(front, &refusal, id, Some(name), (stream, None)),
    }
    Ok(answered)
}

/// A subsystem: the connection to the target that it names, or why not.
pub(super) fn subsystem(front: &Front, session: PendingSession, name: &Bytes) {
    let id = ConnectionId::new();
    let name = String::from_utf8_lossy(name);
    let permitted = match front.leaving() {
        Some(refusal) => Err(refusal),
        None => permit(front, &name),
    };
    let permitted = permitted.and_then(|permit| match session.forwards_agent {
        true => Ok((permit, room(front)?)),
        false => Err(refusal::agent_not_forwarded()),
    });
    let stream = session.stream;
    match permitted {
        Ok(permitted) => {
            let agent = Some(front.agent_opener.clone());
            connect(front, permitted, id, agent, stream);
        }
        Err(refusal) => {
            let name = Some(name.into_owned());
            refuse(front, &refusal, id, name, (stream, Some(EXIT_REFUSED)));
        }
    }
}

/// A shell or a command that does not exist here. A client that speaks no SSH inside the channel gets
/// this exit status.
pub(super) fn no_program(front: &Front, session: PendingSession, status: u32) {
    let id = ConnectionId::new();
    let refusal = front.leaving().unwrap_or_else(|| {
        let reached = front.services.inner.router.reached();
        refusal::no_shell(&reached.command(), &reached.ssh())
    });
    // A person at a terminal speaks no SSH inside, and need not wait until that is seen.
    if session.has_terminal {
        front
            .services
            .audit
            .emit_or_log(&refusal.event(front.origin(id, None)));
        let handle = session.stream.handle();
        handle.stderr(&refusal.text(id));
        handle.exit_status(status);
    } else {
        refuse(front, &refusal, id, None, (session.stream, Some(status)));
    }
}

/// Decides where a name leads for this client.
fn permit(front: &Front, name: &str) -> Result<Permit, Refusal> {
    let Caller {
        identity, address, ..
    } = &front.caller;
    front.services.inner.router.permit(identity, *address, name)
}

/// Tells the client of a channel that nothing comes of it, where its ssh reads it. A session has an exit
/// status.
fn refuse(
    front: &Front,
    refusal: &Refusal,
    id: ConnectionId,
    target: Option<String>,
    (stream, status): (ChannelStream, Option<u32>),
) {
    front
        .services
        .audit
        .emit_or_log(&refusal.event(front.origin(id, target)));
    let (shown, text) = (Arc::clone(&front.shown), refusal.text(id));
    front
        .tasks
        .spawn(async move { early::refuse_with(stream, shown, status, &text).await });
}

/// What the budget has for one more connection.
fn room(front: &Front) -> Result<Share, Refusal> {
    front.account.inner().map_err(BudgetExceeded::refusal)
}

fn connect(
    front: &Front,
    (permit, share): (Permit, Share),
    id: ConnectionId,
    agent: Option<AgentOpener>,
    stream: ChannelStream,
) {
    let connection = Connection {
        services: Arc::clone(&front.services.inner),
        permit,
        id,
        client: front.caller.address,
        agent,
        shown: Arc::clone(&front.shown),
        person: front.caller.person.clone(),
        scope: front.scope.clone(),
    };
    front.tasks.spawn(connection.run(stream, share));
}
