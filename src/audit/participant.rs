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
