//! Events about people who join the live sessions of others.

use std::net::SocketAddr;

use serde::Serialize;

use crate::model::{ConnectionId, SessionId};

/// The fields of [`EventKind::SessionJoined`](super::EventKind::SessionJoined).
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub struct JoinedSession {
    pub session: SessionId,
    pub connection: ConnectionId,
    pub owner: String,
    pub login: String,
    pub target: String,
    pub user: String,
    pub participant: u16,
    pub mode: &'static str,
    pub rule: String,
    pub client_addr: SocketAddr,
    pub client_connection: ConnectionId,
}

/// The fields of [`EventKind::SessionLeft`](super::EventKind::SessionLeft).
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub struct LeftSession {
    pub session: SessionId,
    pub connection: ConnectionId,
    pub user: String,
    pub participant: u16,
    pub mode: &'static str,
    pub client_addr: SocketAddr,
    pub client_connection: ConnectionId,
    pub bytes_typed: u64,
    pub duration_ms: u64,
    pub reason: &'static str,
    pub message: Option<String>,
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::audit::AuditEvent;

    /// One event of every kind.
    pub(in crate::audit) fn samples(client_addr: SocketAddr) -> Vec<AuditEvent> {
        let (session, connection) = (SessionId::new(), ConnectionId::new());
        let client_connection = ConnectionId::new();
        let text = str::to_owned;
        vec![
            AuditEvent::SessionJoined(JoinedSession {
                session,
                connection,
                owner: text("alice"),
                login: text("deploy"),
                target: text("db1:22"),
                user: text("bob"),
                participant: 1,
                mode: "type",
                rule: text("rproxy.yaml:7"),
                client_addr,
                client_connection,
            }),
            AuditEvent::SessionLeft(LeftSession {
                session,
                connection,
                user: text("bob"),
                participant: 1,
                mode: "type",
                client_addr,
                client_connection,
                bytes_typed: 12,
                duration_ms: 3_000,
                reason: "left",
                message: Some(text("maintenance")),
            }),
        ]
    }
}
