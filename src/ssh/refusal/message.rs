//! A refusal: which leg, why, what to do, and an id to ask about.
//!
//! The text goes out as an authentication banner, on a channel's stderr, or as the reason of a
//! disconnect; the audit event is made from the same value, so that the two cannot differ.

use std::fmt::Display;
use std::net::SocketAddr;

use super::reason::RefusalReason;
use crate::access::Denial;
use crate::audit::{AuditEvent, Party};
use crate::model::ConnectionId;
use crate::model::text::Printable;

/// The connection that was refused, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) client: SocketAddr,
    pub(crate) connection: ConnectionId,
    pub(crate) user: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) target: Option<String>,
}

/// How much a refusal explains, to choose between several refusals of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    /// A plain key: agents usually offer plain keys too.
    PlainKey,
    /// A key or certificate for another purpose.
    Foreign,
    /// What is wrong with the credential that should have worked.
    Usual,
    /// The refusal names a solution.
    WayOut,
}

/// Why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Which leg failed.
    pub(crate) leg: Party,
    /// A stable name for the audit log.
    pub(crate) reason: &'static str,
    /// One sentence for the user.
    pub(crate) message: String,
    /// What the user can do.
    hint: Option<String>,
    /// The policy's rule: for the audit log, not for the user.
    rule: Option<String>,
    /// How much it explains, beside other refusals.
    pub(crate) worth: Worth,
}

impl From<&Denial> for Refusal {
    fn from(denial: &Denial) -> Self {
        let leg = match denial {
            Denial::OtherIdentity { .. }
            | Denial::OtherKey
            | Denial::OtherProof { .. }
            | Denial::Login { .. }
            | Denial::LoginOfUser { .. } => Party::Client,
            Denial::Policy { .. } => Party::Proxy,
        };
        let worth = match denial {
            Denial::OtherIdentity { .. } | Denial::OtherKey | Denial::OtherProof { .. } => {
                Worth::Foreign
            }
            Denial::Login { .. } | Denial::LoginOfUser { .. } | Denial::Policy { .. } => {
                Worth::Usual
            }
        };
        Self {
            rule: denial.rule(),
            ..Self::new(leg, denial.into(), denial.to_string())
                .hint(denial.hint())
                .worth(worth)
        }
    }
}

impl Refusal {
    /// Only the constructors of this room create refusals.
    pub(super) fn new(leg: Party, reason: RefusalReason, message: impl Into<String>) -> Self {
        Self {
            leg,
            reason: reason.name(),
            message: message.into(),
            hint: None,
            rule: None,
            worth: Worth::Usual,
        }
    }

    #[must_use]
    pub(super) fn worth(mut self, worth: Worth) -> Self {
        self.worth = worth;
        self
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with more detail for the audit log only.
    #[must_use]
    pub(crate) fn with_finding(mut self, finding: &impl Display) -> Self {
        if let Some(rule) = &mut self.rule {
            rule.push_str(&format!("; {finding}"));
        }
        self
    }

    /// The same, with the number of similar refusals that were not audited.
    #[must_use]
    pub(crate) fn after_unaudited(&self, count: u64) -> Self {
        let mut refusal = self.clone();
        if count > 0 {
            refusal
                .message
                .push_str(&format!("; {count} more of these before"));
        }
        refusal
    }

    /// The audit event of a client that was accepted before.
    pub(crate) fn event(&self, origin: Origin) -> AuditEvent {
        let Origin {
            client,
            connection,
            user,
            login,
            target,
        } = origin;
        AuditEvent::Refusal {
            leg: self.leg,
            reason: self.reason,
            message: self.message.clone(),
            rule: self.rule.clone(),
            user,
            login,
            target,
            client_addr: client,
            connection: Some(connection),
            session: None,
        }
    }

    /// The text as one line.
    pub(crate) fn line(&self, id: impl Display) -> String {
        let message = Printable(&self.message);
        format!("rproxy: {}: {message} (id {id})", leg_name(self.leg))
    }

    /// The text of a disconnect, when the user could read the whole text before.
    pub(crate) fn disconnect_text(&self, id: impl Display) -> String {
        format!("rproxy: {} (id {id})", self.message)
    }

    /// The text for the user's terminal. `CR LF` because it may reach one in raw mode.
    pub(crate) fn text(&self, id: impl Display) -> String {
        let message = Printable(&self.message);
        let mut text = format!("rproxy: {}: {message}\r\n", leg_name(self.leg));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {}\r\n", Printable(hint)));
        }
        text.push_str(&format!("  id: {id}\r\n"));
        text
    }
}

/// The leg in the user's words.
fn leg_name(leg: Party) -> &'static str {
    match leg {
        Party::Client => "client",
        Party::Proxy => "proxy",
        Party::HostCertificate => "host certificate",
        Party::HostAuthentication => "host authentication",
    }
}
