//! Refusals of other proxies.

use std::fmt::Display;

use super::message::{Refusal, Worth};
use super::reason::RefusalReason;
use crate::audit::Party;

/// No other proxy that is alive has announced the key.
pub(crate) fn unknown_peer() -> Refusal {
    let text = "no other proxy on the state of this one has announced this key";
    Refusal::new(Party::Client, RefusalReason::UnknownPeer, text)
        .hint(
            "proxies announce themselves every 10 s; all need the same state.url, and clocks that agree",
        )
        .worth(Worth::Foreign)
}

/// The process that knows the other proxies cannot be asked.
pub(crate) fn peers_unavailable(error: &dyn Display) -> Refusal {
    let text = format!("the auth process cannot say which proxies there are: {error}");
    Refusal::new(Party::Proxy, RefusalReason::PeersUnavailable, text).hint("try again in a moment")
}
