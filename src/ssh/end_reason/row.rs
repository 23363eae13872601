//! A row of the table of ends: the consequences of an [`EndReason`](super::EndReason).

use std::fmt::Display;

use crate::model::ConnectionId;
use crate::ssh::refusal::Refusal;
use crate::wire::DisconnectReason;

/// What the host reads when its connection ends for a reason that is not its fault.
const ENDED: &str = "rproxy: the connection ended";

/// A disconnect message (RFC 4253, section 11.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Goodbye {
    pub(crate) code: DisconnectReason,
    pub(crate) text: String,
}

/// The consequences of the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndRow {
    /// The stable name in the audit log and in the recordings.
    pub(crate) name: &'static str,
    /// One side broke the protocol: the program's log records it.
    pub(crate) is_breach: bool,
    /// The text for the terminal of each session, if the client has granted enough window.
    pub(crate) last_words: Option<String>,
    /// The disconnect for the client, unless the client is gone.
    pub(crate) client: Option<Goodbye>,
    /// The disconnect for the host, unless the host is gone.
    pub(crate) host: Option<Goodbye>,
    /// An audit event of its own, which is written even if no session ends with the connection.
    pub(crate) refusal: Option<Refusal>,
}

impl EndRow {
    /// An end that is not reported to either side.
    pub(super) fn named(name: &'static str) -> Self {
        Self {
            name,
            is_breach: false,
            last_words: None,
            client: None,
            host: None,
            refusal: None,
        }
    }

    /// A time limit of the proxy.
    pub(super) fn timed_out(refusal: Refusal, id: ConnectionId) -> Self {
        let text = refusal.text(id);
        Self {
            refusal: Some(refusal.clone()),
            ..Self::named(refusal.reason)
                .shows(format!("{text}\r\n"))
                .tells_client(DisconnectReason::ByApplication, text)
                .tells_host(DisconnectReason::ByApplication)
        }
    }

    /// Revocation, the end of a sign-in, the policy or an administrator. The text starts with a line break: in raw mode
    /// the cursor may be anywhere.
    pub(super) fn withdrawn(refusal: &Refusal, id: &dyn Display) -> Self {
        Self::named(refusal.reason)
            .shows(format!("\r\n{}", refusal.text(id)))
            .tells_client(DisconnectReason::ByApplication, refusal.line(id))
            .tells_host(DisconnectReason::ByApplication)
    }

    pub(super) fn by_breach(self) -> Self {
        Self {
            is_breach: true,
            ..self
        }
    }

    pub(super) fn shows(self, last_words: String) -> Self {
        Self {
            last_words: Some(last_words),
            ..self
        }
    }

    pub(super) fn tells_client(self, code: DisconnectReason, text: String) -> Self {
        Self {
            client: Some(Goodbye { code, text }),
            ..self
        }
    }

    /// The host gets a disconnect without the reason.
    pub(super) fn tells_host(self, code: DisconnectReason) -> Self {
        self.tells_host_why(code, ENDED.to_owned())
    }

    pub(super) fn tells_host_why(self, code: DisconnectReason, text: String) -> Self {
        Self {
            host: Some(Goodbye { code, text }),
            ..self
        }
    }
}
