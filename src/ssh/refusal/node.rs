//! Refusals of hosts, as the process that decides about nodes has them.

use std::fmt::Display;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::audit::Party;
use crate::ipc::NodeRefusal;

/// The process that decides about nodes cannot be asked.
pub(crate) fn nodes_unavailable(error: &dyn Display) -> Refusal {
    let text = format!("the auth process cannot say which node this is: {error}");
    Refusal::new(Party::Proxy, RefusalReason::NodesUnavailable, text)
        .hint("try again in a moment; if it goes on, tell the people who run this proxy")
}

/// What the process that decides about nodes says.
pub(crate) fn refused_node(refused: &NodeRefusal) -> Refusal {
    let reason = RefusalReason::of_node(&refused.reason);
    let leg = match reason {
        RefusalReason::StateUnavailable => Party::Proxy,
        _ => Party::Client,
    };
    let refusal = Refusal::new(leg, reason, refused.message.clone());
    match &refused.hint {
        Some(hint) => refusal.hint(hint.clone()),
        None => refusal,
    }
}
