//! Every refusal that a remote client may read: which leg, why, what to do, and an id to ask about.
//!
//! The text goes out as an authentication banner, on a channel's stderr, or as the reason of a
//! disconnect; the audit event is made from the same value, so that the two cannot differ.

use std::fmt::Display;
use std::net::SocketAddr;

use crate::access::Denial;
use crate::audit::{AuditEvent, Party};
use crate::cert::{CertFault, HostKeyError, KeyError, UserCertError};
use crate::model::ConnectionId;
use crate::model::text::Printable;
use crate::nodes::ResolveError;
use crate::wire::auth::OfferError;

/// Who was refused, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) client: SocketAddr,
    pub(crate) connection: ConnectionId,
    pub(crate) user: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) target: Option<String>,
}

/// How much a refusal tells, where a client has had several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    /// A plain key: agents offer theirs as a matter of course.
    PlainKey,
    /// A key or certificate that belongs elsewhere.
    Foreign,
    /// What is wrong with what should have served.
    Usual,
    /// It names the way out.
    WayOut,
}

/// Why a connection goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where it failed.
    pub(crate) leg: Party,
    /// A stable name for the audit log.
    pub(crate) reason: &'static str,
    /// One sentence for the user.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// What the policy says about it: for the audit log, not for the user.
    pub(crate) rule: Option<String>,
    /// How much it tells beside others.
    pub(crate) worth: Worth,
}

impl From<&Denial> for Refusal {
    fn from(denial: &Denial) -> Self {
        let leg = match denial {
            Denial::OtherIdentity { .. } | Denial::OtherKey | Denial::Login { .. } => Party::Client,
            Denial::Policy { .. } => Party::Proxy,
        };
        let worth = match denial {
            Denial::OtherIdentity { .. } | Denial::OtherKey => Worth::Foreign,
            Denial::Login { .. } | Denial::Policy { .. } => Worth::Usual,
        };
        Self {
            rule: denial.rule(),
            worth,
            ..Self::new(leg, denial.reason(), denial.to_string()).hint(denial.hint())
        }
    }
}

impl Refusal {
    pub(crate) fn new(leg: Party, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            leg,
            reason,
            message: message.into(),
            hint: None,
            rule: None,
            worth: Worth::Usual,
        }
    }

    #[must_use]
    pub(crate) fn worth(mut self, worth: Worth) -> Self {
        self.worth = worth;
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The audit event of a client that was let in and is refused now.
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

    /// The text in one line, for messages that have room for no more.
    pub(crate) fn line(&self, id: impl Display) -> String {
        let message = Printable(&self.message);
        format!("rproxy: {}: {message} (id {id})", leg_name(self.leg))
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

/// A stable name for what is wrong with a user certificate.
pub(crate) fn user_certificate_reason(error: &UserCertError) -> &'static str {
    match error {
        UserCertError::HostCertificate => "user-certificate-of-type-host",
        UserCertError::Fault(fault) => fault_reason(fault),
        UserCertError::NoKeyId => "no-key-id",
        UserCertError::SourceAddress { .. } => "source-address",
        UserCertError::MalformedSourceAddress(_) => "malformed-source-address",
        UserCertError::CorruptFlag => "corrupt-critical-option",
    }
}

/// A stable name for what is wrong with a host's key.
pub(crate) fn host_key_reason(error: &HostKeyError) -> &'static str {
    match error {
        HostKeyError::PlainKey { .. } => "plain-host-key",
        HostKeyError::UserCertificate { .. } => "host-certificate-of-type-user",
        HostKeyError::Fault { fault, .. } => fault_reason(fault),
        HostKeyError::WrongName { .. } => "name-not-in-principals",
    }
}

fn fault_reason(fault: &CertFault) -> &'static str {
    match fault {
        CertFault::NestedCertificate => "nested-certificate",
        CertFault::UnknownAuthority(_) => "unknown-authority",
        CertFault::Signature(_) => "bad-ca-signature",
        CertFault::WeakKey(_) => "weak-key",
        CertFault::NotYetValid(_) => "certificate-not-yet-valid",
        CertFault::Expired(_) => "certificate-expired",
        CertFault::NoPrincipals => "no-principals",
        CertFault::UnknownCriticalOption(_) => "unknown-critical-option",
    }
}

/// A stable name for what is wrong with a key that does not decode.
pub(crate) fn key_reason(error: &KeyError) -> &'static str {
    match error {
        KeyError::Malformed(_) => "malformed-key",
        KeyError::Unsupported(_) => "unsupported-key",
        KeyError::UnsupportedCa(_) => "unsupported-ca-key",
        KeyError::NestedCertificate(_) => "nested-certificate",
    }
}

/// A stable name for what is wrong with an offered key.
pub(crate) fn offer_reason(error: &OfferError) -> &'static str {
    match error {
        OfferError::Key(error) => key_reason(error),
        OfferError::Algorithm(_) | OfferError::Mismatch(_) => "unsupported-algorithm",
        OfferError::OtherHostKey => "other-host-key",
        OfferError::MalformedSignature | OfferError::Signature(_) => "bad-signature",
        OfferError::ShortKey(_) => "weak-key",
        OfferError::NoTouch => "security-key-not-touched",
        OfferError::NotVerified => "security-key-not-verified",
    }
}

/// A stable name for why the inventory has no answer.
pub(crate) fn resolve_reason(error: &ResolveError) -> &'static str {
    match error {
        ResolveError::NotFound(_) => "unknown-node",
        ResolveError::Ambiguous { .. } => "ambiguous-node",
        ResolveError::Port { .. } => "port-not-in-inventory",
        ResolveError::Cluster(_) => "unknown-cluster",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::text::is_printable;

    #[test]
    fn what_others_have_said_does_not_act_on_the_users_terminal() {
        let refusal = Refusal::new(Party::Client, "x", "no \u{1b}[2J\u{202e}").hint("say \u{9b}6n");
        assert!(is_printable(&refusal.line(1)), "{}", refusal.line(1));
        let text = refusal.text(1);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(is_printable), "{text:?}");
    }
}
