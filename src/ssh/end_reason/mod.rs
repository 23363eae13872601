//! Why a connection ends, and the consequences: one variant and one row of the table for each
//! reason.
//!
//! Whatever ends a connection, a peer, a timer, the policy, an administrator, the recording or the
//! outer connection, hands over an [`EndReason`]. [`EndReason::row`] is the table: the name in the
//! audit log, what each side is told and with which code, and what stands on the user's terminal.
//! Nothing else decides about any of these.

mod row;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::leg::LegError;
use super::refusal::{self, Refusal, SHUTTING_DOWN};
use crate::model::{ConnectionId, SessionId, format_duration};
use crate::relay::{Side, Violation};
use crate::session::RecordingLost;
use crate::wire::DisconnectReason::{self, ByApplication, ConnectionLost, ProtocolError};

pub(crate) use row::{EndRow, Goodbye};

/// How a peer broke the transport protocol, and the code of the disconnect that it gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Breach {
    code: DisconnectReason,
    error: String,
}

/// Why a connection ends. `Display` gives the text for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndReason {
    /// The inner client closed the connection, or its stream broke: how.
    #[error("client: {0}")]
    ClientLeft(String),
    /// The inner client broke the transport protocol.
    #[error("client: {0}")]
    ClientBroke(Breach),
    /// The host closed the connection, or its stream broke: how.
    #[error("host: {0}")]
    HostLeft(String),
    /// The host disconnected, with this text; `None` if the client may not read it.
    #[error("host: the peer disconnected{}", .0.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    HostDisconnected(Option<String>),
    /// The host broke the transport protocol.
    #[error("host: {0}")]
    HostBroke(Breach),
    /// One side broke the connection protocol.
    #[error("{0}")]
    RelayBroken(String),
    /// A session cannot be recorded in strict mode. `text` is for the user.
    #[error("the recording of session {session} cannot be written")]
    RecordingFailed { session: SessionId, text: String },
    /// Nothing came from the client for this long.
    #[error("nothing came from the client for {}", format_duration(*.0))]
    ClientIdle(Duration),
    /// The host has not answered for this long.
    #[error("the host has not answered for {}", format_duration(*.0))]
    HostLost(Duration),
    /// The user certificate expired, and the configuration ends connections then.
    #[error("the certificate has expired")]
    CertificateExpired,
    /// A certificate was revoked, the sign-in has ended, or the policy has changed. This is audited where it is noticed.
    #[error("{}", .0.message)]
    Withdrawn(Box<Refusal>),
    /// An administrator ended the connection, or its only session. This is audited where the
    /// command arrives.
    #[error("{}", .0.message)]
    Killed(Box<Refusal>, Option<SessionId>),
    /// The outer connection ended, or broke.
    #[error("the client has gone")]
    OuterLeft,
    /// The client has not answered on the outer connection for this long.
    #[error("the client has not answered for {}", format_duration(*.0))]
    OuterLost(Duration),
    /// The client broke the protocol on the outer connection.
    #[error("the client broke the protocol on the outer connection")]
    OuterBroken,
    /// The proxy stops.
    #[error("the proxy is shutting down")]
    Shutdown,
}

impl EndReason {
    /// A leg ended.
    pub(crate) fn of_leg(side: Side, error: LegError) -> Self {
        match (side, error) {
            (Side::Client, LegError::Protocol(error)) => Self::ClientBroke((&error).into()),
            (Side::Host, LegError::Protocol(error)) => Self::HostBroke((&error).into()),
            (Side::Host, LegError::Disconnected { text, .. }) => Self::HostDisconnected(Some(text)),
            (Side::Client, error) => Self::ClientLeft(error.to_string()),
            (Side::Host, error) => Self::HostLeft(error.to_string()),
        }
    }

    /// Whether a leg itself ended. Data that arrived before is relayed, unlike data that arrived
    /// together with a breach of the connection protocol.
    pub(crate) fn is_of_leg(&self) -> bool {
        matches!(
            self,
            Self::ClientLeft(_)
                | Self::ClientBroke(_)
                | Self::HostLeft(_)
                | Self::HostDisconnected(_)
                | Self::HostBroke(_)
        )
    }

    /// The row of the table. `connection` is the id that the user may ask about, if the reason has no
    /// id of its own.
    pub(crate) fn row(&self, connection: ConnectionId) -> EndRow {
        match self {
            // The client is gone.
            Self::ClientLeft(_) | Self::OuterLeft => {
                EndRow::named("client-left").tells_host(ByApplication)
            }
            Self::OuterLost(_) => EndRow::named("client-lost").tells_host(ByApplication),
            Self::OuterBroken => EndRow::named("protocol-error").tells_host(ByApplication),
            // Only the side that broke the protocol gets the reason.
            Self::ClientBroke(breach) => EndRow::named("protocol-error")
                .by_breach()
                .tells_client(breach.code, format!("rproxy: {breach}"))
                .tells_host(ConnectionLost),
            Self::HostBroke(breach) => EndRow::named("protocol-error")
                .by_breach()
                .tells_client(ConnectionLost, format!("rproxy: {self}"))
                .tells_host_why(breach.code, format!("rproxy: {breach}")),
            Self::RelayBroken(_) => EndRow::named("protocol-error")
                .by_breach()
                .tells_client(ProtocolError, format!("rproxy: {self}"))
                .tells_host(ProtocolError),
            // The host is gone.
            Self::HostLeft(_) | Self::HostDisconnected(_) => {
                EndRow::named("host-left").tells_client(ConnectionLost, format!("rproxy: {self}"))
            }
            Self::RecordingFailed { text, .. } => EndRow::named("recording-failed")
                .shows(format!("{text}\r\n"))
                .tells_client(ByApplication, text.clone())
                .tells_host(ByApplication),
            Self::ClientIdle(limit) => EndRow::timed_out(refusal::client_idle(*limit), connection),
            Self::HostLost(silence) => EndRow::timed_out(refusal::host_lost(*silence), connection),
            Self::CertificateExpired => {
                EndRow::timed_out(refusal::certificate_expired(), connection)
            }
            Self::Withdrawn(refusal) | Self::Killed(refusal, None) => {
                EndRow::withdrawn(refusal, &connection)
            }
            Self::Killed(refusal, Some(session)) => EndRow::withdrawn(refusal, session),
            Self::Shutdown => EndRow::named("shutdown")
                .shows(format!("{SHUTTING_DOWN}\r\n"))
                .tells_client(ByApplication, SHUTTING_DOWN.to_owned())
                .tells_host(ByApplication),
        }
    }
}

impl From<&crate::wire::Error> for Breach {
    fn from(error: &crate::wire::Error) -> Self {
        Self {
            code: error.disconnect_reason(),
            error: error.to_string(),
        }
    }
}

impl From<Violation> for EndReason {
    fn from(violation: Violation) -> Self {
        Self::RelayBroken(violation.to_string())
    }
}

impl From<RecordingLost> for EndReason {
    fn from(lost: RecordingLost) -> Self {
        Self::RecordingFailed {
            session: lost.session,
            text: lost.text(),
        }
    }
}
