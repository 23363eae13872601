//! Why hosts are refused: the stable name, what is read at the host, and what to do about it.

use std::fmt::Display;

use crate::ipc::{NodeRefusal, NodesAnswer};
use crate::model::text::Printable;

/// How much of a text of the host is shown in a refusal, in bytes.
const SHOWN: usize = 64;

/// A refusal before it is written down: the reason is one of a closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The stable name.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The name of the node that is refused, for the audit log.
    pub(super) node: Option<String>,
}

impl Refused {
    fn new(reason: &'static str, message: impl Display) -> Self {
        Self {
            reason,
            message: message.to_string(),
            hint: None,
            node: None,
        }
    }

    /// The same about a node of this name.
    pub(super) fn of(mut self, node: Option<&str>) -> Self {
        self.node = node.map(str::to_owned);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn token_unknown() -> Self {
        Self::new("token-unknown", "there is no such token").hint(
            "copy the whole token, with rpt_ in front; or ask an administrator for a new one: \
             rproxy tokens add --type=node",
        )
    }

    pub(super) fn too_many_tries() -> Self {
        Self::new(
            "too-many-tries",
            "too many wrong tokens came from this address",
        )
        .hint("try again in a minute, with a token of: rproxy tokens add --type=node")
    }

    pub(super) fn token_expired() -> Self {
        Self::new("token-expired", "this token has expired")
            .hint("ask an administrator for a new one: rproxy tokens add --type=node")
    }

    pub(super) fn token_spent() -> Self {
        Self::new(
            "token-spent",
            "this token was used as often as it is valid for",
        )
        .hint("ask an administrator for a new one: rproxy tokens add --type=node")
    }

    pub(super) fn token_names(name: &str, allowed: &[String]) -> Self {
        Self::new(
            "token-names",
            format!("this token does not allow the name {}", shown(name)),
        )
        .hint(format!(
            "join with --name={}, or ask an administrator for a token with --names={}",
            allowed.first().map_or("NAME", String::as_str),
            shown(name)
        ))
    }

    pub(super) fn name_missing() -> Self {
        Self::new("name-missing", "the host has given no name")
            .hint("join with --name=NAME, as in --name=db1")
    }

    pub(super) fn name_invalid(name: &str, why: &str) -> Self {
        Self::new(
            "name-invalid",
            format!("a node cannot be called {}: {why}", shown(name)),
        )
        .hint("join with --name=NAME, as in --name=db1: letters, digits, \"-\", \"_\" and \".\"")
    }

    pub(super) fn name_taken(name: &str, by: &str) -> Self {
        Self::new(
            "name-taken",
            format!("the name {} is taken: {by}", shown(name)),
        )
        .hint(
            "join with another --name; if the host was set up anew, with another host key: \
             rproxy nodes rm NAME, then join again",
        )
    }

    pub(super) fn label_invalid(label: &str, why: &str) -> Self {
        Self::new(
            "label-invalid",
            format!("a node cannot have the label {}: {why}", shown(label)),
        )
        .hint("write labels as key=value, as in env=prod")
    }

    pub(super) fn label_forced(label: &str, forced: impl Display) -> Self {
        Self::new(
            "label-forced",
            format!(
                "the host's token sets the label {forced}, and the host asks for {}",
                shown(label)
            ),
        )
        .hint("join without this label, or ask an administrator for another token")
    }

    pub(super) fn report(what: &str) -> Self {
        Self::new("report-invalid", format!("the report of the host {what}"))
            .hint("join again with a script of this proxy: rproxy nodes script")
    }

    pub(super) fn locked(name: &str) -> Self {
        Self::new(
            NodeRefusal::NODE_LOCKED,
            format!("the node {name} is locked"),
        )
        .hint(format!("ask an administrator: rproxy nodes unlock {name}"))
    }

    pub(super) fn not_joined() -> Self {
        Self::new(
            NodeRefusal::NOT_JOINED,
            "no node has this host key: the host has not joined, or was removed",
        )
        .hint("ask an administrator for a token, and join: rproxy tokens add --type=node")
    }

    pub(super) fn revoked() -> Self {
        Self::new(
            "key-revoked",
            "this host key, or the name of this node, is revoked",
        )
        .hint(
            "make new host keys and join again; if it was a mistake: rproxy auth revocations, \
             rproxy auth unrevoke",
        )
    }

    pub(super) fn unfit_key(why: impl Display) -> Self {
        Self::new("unfit-key", format!("this host key cannot be used: {why}"))
            .hint("use the host's Ed25519 key, which `ssh-keygen -A` makes if there is none")
    }

    pub(super) fn no_tunnel(name: &str) -> Self {
        Self::new(
            "tunnel-not-allowed",
            format!("the node {name} may not open a tunnel"),
        )
        .hint("join again with a token of: rproxy tokens add --type=node --tunnel=allowed")
    }

    pub(super) fn too_often(what: &str) -> Self {
        Self::new(
            "too-often",
            format!("too many requests for {what} in a minute"),
        )
        .hint("wait a minute; a node reports once a minute")
    }

    pub(super) fn certificate(why: impl Display) -> Self {
        Self::new(
            "certificate",
            format!("the host has joined, and no certificate could be signed: {why}"),
        )
        .hint("join again with the same token; if it goes on, tell an administrator")
    }

    pub(super) fn not_proved() -> Self {
        Self::new(
            NodeRefusal::NOT_PROVED,
            "this connection has not proved a host key, or the proxy has restarted",
        )
        .hint("connect again")
    }

    pub(super) fn bad_signature() -> Self {
        Self::new("bad-signature", "the signature does not verify").hint(
            "connect again; if it goes on, the host's private key does not fit its public key",
        )
    }

    pub(super) fn replayed() -> Self {
        Self::new(
            "key-replayed",
            "this signature was made for another connection",
        )
        .hint("connect again")
    }

    pub(super) fn busy() -> Self {
        Self::new("busy", "too many hosts are connected at this moment")
            .hint("try again in a minute")
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            NodeRefusal::UNAVAILABLE,
            "the state of the proxy cannot be read or written, so it cannot decide about this host",
        )
        .hint("try again; if it goes on, tell an administrator")
    }
}

/// A text of the host, in one line that is not long.
pub(super) fn shown(text: &str) -> String {
    Printable(text).within(SHOWN)
}

impl From<Refused> for NodeRefusal {
    fn from(refused: Refused) -> Self {
        Self {
            reason: refused.reason.to_owned(),
            message: refused.message,
            hint: refused.hint,
        }
    }
}

impl From<Refused> for NodesAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.into())
    }
}
