//! The answer to each request. It has no sockets: a client is a stream and the number of its
//! account.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::account::Accounts;
use super::protocol::{
    ControlRefusal, ControlRequest, ControlResponse, MAX_REQUEST, SessionRow, What, line,
};
use crate::audit::{AuditEvent, AuditSink};
use crate::model::{ConnectionId, SessionId};
use crate::session::{LiveConnection, Reason, Registry, SessionCommand};
use crate::sys::account::Actor;

/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take for everything.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the answer to a kill waits for the session to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct ControlContext {
    /// The live connections of this process.
    pub(super) registry: Registry,
    /// Takes an event for each session that is watched or ended.
    pub(super) audit: Arc<dyn AuditSink>,
    /// Which accounts are answered.
    pub(super) accounts: Accounts,
    /// The number of this process.
    pub(super) pid: u32,
}

/// The client, as the kernel names it.
#[derive(Clone, Copy, Debug)]
struct PeerCredentials<'a> {
    name: &'a str,
    uid: u32,
}

impl PeerCredentials<'_> {
    /// The same with the user that sudo says it works for.
    fn actor(self, sudo_user: Option<&str>) -> Actor {
        Actor::new(self.name.to_owned(), self.uid, sudo_user)
    }
}

impl ControlContext {
    /// Serves one client: one request, one answer.
    ///
    /// # Errors
    /// [`Elapsed`] when it takes longer than a client may; else what goes wrong with the stream.
    pub(super) async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        uid: u32,
    ) -> Result<io::Result<()>, Elapsed> {
        timeout(CLIENT_TIMEOUT, self.exchange(stream, uid)).await
    }

    async fn exchange(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        uid: u32,
    ) -> io::Result<()> {
        let Some(name) = self.accounts.admit(uid) else {
            tracing::warn!(uid, "somebody else asks on the control socket");
            let refused = ControlResponse::Refused(ControlRefusal::NotPermitted);
            return stream.write_all(&line(&refused)).await;
        };
        let (reading, mut writing) = tokio::io::split(stream);
        let mut request = Vec::new();
        let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
        let mut reading = BufReader::new(reading.take(limit));
        timeout(REQUEST_TIMEOUT, reading.read_until(b'\n', &mut request)).await??;
        let response = match serde_json::from_slice(&request) {
            Ok(request_read) if request.ends_with(b"\n") => {
                let peer = PeerCredentials { name, uid };
                self.answer(request_read, peer, &mut writing).await?
            }
            Ok(_) | Err(_) => ControlResponse::Refused(ControlRefusal::NotUnderstood),
        };
        writing.write_all(&line(&response)).await
    }

    /// Does what is asked. What this gives is the last line of the answer.
    async fn answer(
        &self,
        request: ControlRequest,
        peer: PeerCredentials<'_>,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<ControlResponse> {
        Ok(match request {
            ControlRequest::Sessions => {
                for connection in self.registry.connections() {
                    for row in SessionRow::of(&connection, self.pid) {
                        let row = ControlResponse::Row(Box::new(row));
                        out.write_all(&line(&row)).await?;
                    }
                }
                ControlResponse::Done {}
            }
            ControlRequest::Watch {
                session,
                from_start,
                sudo_user,
            } => self.watch(session, from_start, peer.actor(sudo_user.as_deref())),
            ControlRequest::Kill {
                what,
                reason,
                sudo_user,
            } => {
                let actor = peer.actor(sudo_user.as_deref());
                self.kill(what, reason, actor).await
            }
        })
    }

    /// A session is watched only if that was audited.
    fn watch(&self, id: SessionId, from_start: bool, actor: Actor) -> ControlResponse {
        let Some((connection, session)) = self.registry.session(id) else {
            return ControlResponse::Refused(ControlRefusal::NotLive);
        };
        if session.file.is_none() {
            return ControlResponse::Refused(ControlRefusal::NotRecorded);
        }
        let (connection, [user, login, target]) = names(&connection);
        let audited = self.audit.emit(&AuditEvent::SessionWatched {
            session: id,
            connection,
            user,
            login,
            target,
            from_start,
            actor,
        });
        match audited {
            Ok(()) => ControlResponse::Done {},
            // The program's log has the error.
            Err(_) => ControlResponse::Refused(ControlRefusal::NotAudited),
        }
    }

    /// Ends a session even if that cannot be audited: a full disk must not keep a session alive. The
    /// program's log has the event then.
    async fn kill(&self, what: What, reason: Option<Reason>, actor: Actor) -> ControlResponse {
        let Some((live, gone, session)) = self.find(what) else {
            return ControlResponse::Refused(ControlRefusal::NotLive);
        };
        let by = actor.by.clone();
        let (connection, [user, login, target]) = names(&live);
        // The program's log has the event, and the error if there is one.
        let event = AuditEvent::SessionKilled {
            session,
            connection,
            user,
            login,
            target,
            actor,
            message: reason.as_ref().map(ToString::to_string),
        };
        drop(self.audit.emit(&event));
        let is_passed_on = live.order(SessionCommand {
            session,
            by,
            reason,
        });
        if !is_passed_on {
            tracing::debug!(connection = %live.id, "it takes no orders, and ends by itself");
        }
        match timeout(END_TIMEOUT, gone.cancelled()).await {
            Ok(()) => ControlResponse::Done {},
            Err(_) => ControlResponse::Pending {},
        }
    }

    /// The connection that has it, what is cancelled at its end, and the session, where it is one.
    fn find(
        &self,
        what: What,
    ) -> Option<(Arc<LiveConnection>, CancellationToken, Option<SessionId>)> {
        match what {
            What::Session(id) => {
                let (connection, session) = self.registry.session(id)?;
                Some((connection, session.gone().clone(), Some(id)))
            }
            What::Connection(id) => {
                let connection = self.registry.connection(id)?;
                let gone = connection.gone().clone();
                Some((connection, gone, None))
            }
        }
    }
}

/// What an audit event says of a connection: its id, the user, the login and the target.
fn names(connection: &LiveConnection) -> (ConnectionId, [String; 3]) {
    let LiveConnection {
        id,
        user,
        login,
        target,
        ..
    } = connection;
    (*id, [user, login, target].map(Clone::clone))
}

#[cfg(test)]
mod tests;
