//! Refusals by the proxy itself: its limits, its failures, an administrator's commands, and its
//! shutdown.

use std::fmt::Display;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::audit::Party;
use crate::net::LimitExceeded;

/// What users read when the proxy shuts down: [`shutting_down`] without an id.
pub(crate) const SHUTTING_DOWN: &str = "rproxy: proxy: shutting down, connect again in a moment";

/// A client above a limit of the listener.
pub(crate) fn crowded_out(limit: LimitExceeded) -> Refusal {
    Refusal::new(Party::Proxy, limit.into(), limit.message()).hint(limit.hint())
}

/// A connection that has the maximum number of channels.
pub(crate) fn too_many_channels() -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::TooManyChannels,
        "too many channels on one connection",
    )
    .hint("on your machine: end some of the sessions that share the connection to the proxy, or give this one a connection of its own: -o ControlPath=none in ProxyCommand")
}

/// The user's connections hold all the memory that one user may hold.
pub(crate) fn too_much_memory_of_user() -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::TooMuchMemoryOfUser,
        "connections with certificates of your name hold as much of the proxy's memory as one person may",
    )
    .hint("close connections that are not used any more; those whose output nobody reads hold the most")
}

/// All connections together hold all the memory that they may hold.
pub(crate) fn too_much_memory() -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::TooMuchMemory,
        "the proxy's connections hold as much memory as they may",
    )
    .hint("try again in a moment")
}

/// A request for a shell, or for a command that does not exist at the proxy. `command` is the right
/// ProxyCommand, `ssh` the command that reaches the proxy itself.
pub(crate) fn no_shell(command: &str, ssh: &str) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::NoSubsystem,
        "there is no shell here, this is a proxy",
    )
    .hint(format!(
        "on your machine: ssh -o ForwardAgent=yes -o ProxyCommand=\"{command}\" HOST; what the proxy itself can do: {ssh} help"
    ))
}

/// The host certificate that the client's ssh expects cannot be made.
pub(crate) fn host_certificate_not_minted(error: &dyn Display) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::NoHostCertificate,
        format!("cannot make a host certificate: {error}"),
    )
    .hint("tell the people who run this proxy; on the proxy, its log says more")
}

/// The certificate for the login at the host, which a person who has signed in needs, was not made.
pub(crate) fn certificate_not_minted(error: &dyn Display) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::NoUserCertificate,
        format!("cannot make the certificate for this login: {error}"),
    )
    .hint("try again in a moment; if it stays so, tell the people who run this proxy")
}

/// A connection that ends because the proxy shuts down.
pub(crate) fn shutting_down() -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::ShuttingDown,
        "shutting down, connect again in a moment",
    )
}

/// An administrator ended the connection or session; `message` is the text for the user.
pub(crate) fn killed(message: String) -> Refusal {
    Refusal::new(Party::Proxy, RefusalReason::Killed, message)
}

/// A verified certificate or key of the client cannot be encoded: `what` is `the certificate` or
/// `the key`.
pub(crate) fn not_encoded(what: &str, error: &dyn Display) -> Refusal {
    let text = format!("cannot encode {what}: {error}");
    Refusal::new(Party::Proxy, RefusalReason::Internal, text)
}
