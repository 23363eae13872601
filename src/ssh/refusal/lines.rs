//! Texts for clients where SSH has room for one line and no refusal is audited.

use std::fmt::Display;
use std::time::Duration;

use crate::model::format_duration;

/// A channel type that the outer connection does not serve.
pub(crate) const ONLY_TARGETS: &str =
    "rproxy: only the subsystem proxy:host:port and ProxyJump are served here";
/// A channel type that the connection of a host does not serve.
pub(crate) const ONLY_NODE_PROGRAMS: &str =
    "rproxy: a host can join, report and keep one tunnel, and nothing else";
/// A session channel above the limit of an outer connection.
pub(crate) const TOO_MANY_CHANNELS: &str = "rproxy: too many channels";
/// A channel of a client with ProxyJump that has no session yet.
pub(crate) const FORWARDS_NEED_SESSION: &str =
    "rproxy: with ProxyJump, forwards need a session that forwards its agent";

/// A client that has not authenticated in time.
pub(crate) fn not_authenticated(limit: Duration, id: impl Display) -> String {
    let limit = format_duration(limit);
    format!("rproxy: client: not authenticated within {limit} (id {id})")
}

/// A client that has not identified itself in time.
pub(crate) fn not_identified(limit: Duration, id: impl Display) -> String {
    let limit = format_duration(limit);
    format!("rproxy: client: no SSH identification within {limit} (id {id})")
}

/// A client that broke the protocol, while it logged in or on its outer connection.
pub(crate) fn login_broken(error: &dyn Display) -> String {
    format!("rproxy: client: {error}")
}
