//! What is wrong with the target that the user asked for: it does not exist, or is not permitted.

use std::fmt::Display;

use super::message::Refusal;
use super::reason::RefusalReason;
use crate::access::Denial;
use crate::audit::Party;
use crate::model::Target;
use crate::nodes::ResolveError;

/// A subsystem name that is not a target. `command` is the right ProxyCommand.
pub(crate) fn malformed_target(error: &dyn Display, command: &str) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::MalformedTarget,
        error.to_string(),
    )
    .hint(format!(
        "on your machine, in ssh_config: ProxyCommand {command}"
    ))
}

/// The inventory has no node, or several nodes, for a target. `cluster` is the name of this
/// cluster.
pub(crate) fn ambiguous_or_unknown(error: &ResolveError, cluster: &dyn Display) -> Refusal {
    let refusal = Refusal::new(Party::Proxy, error.into(), error.to_string());
    match error {
        ResolveError::Cluster(_) => refusal.hint(format!("this cluster is {cluster}")),
        ResolveError::Port { .. } => refusal.hint("leave the port out, or use 22"),
        ResolveError::Ambiguous { .. } | ResolveError::NotFound(_) => {
            refusal.hint("name one node, as in the inventory")
        }
    }
}

/// A name without an address.
pub(crate) fn unknown_node(target: &Target, why: impl Display) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::UnknownNode,
        format!("unknown node {}: {why}", target.host),
    )
    .hint("check the name; the proxy knows the nodes of its configuration, the hosts that have joined, and the names in its DNS")
}

/// The proxy as a target of itself.
pub(crate) fn own_listener(target: &Target) -> Refusal {
    let text = format!(
        "{} is this proxy, which does not connect to itself",
        target.host
    );
    Refusal::new(Party::Proxy, RefusalReason::OwnListener, text)
        .hint("name the host that you want to go to: one hop through the proxy is enough")
}

/// The policy no longer permits a connection that it permitted before, or its node was locked.
pub(crate) fn policy_changed(denial: &Denial) -> Refusal {
    let mut refusal = Refusal::from(denial);
    if !denial.is_of_lock() {
        refusal.message.push_str(", the policy has changed");
    }
    refusal
}

/// The host had joined, and an administrator has removed it.
pub(crate) fn node_removed(target: &Target) -> Refusal {
    Refusal::new(
        Party::Proxy,
        RefusalReason::NodeRemoved,
        format!("{} was removed from this proxy's nodes", target.host),
    )
    .hint("ask the people who run this proxy; to let it join again, on the proxy: rproxy tokens add --type=node")
}
