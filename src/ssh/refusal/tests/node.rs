//! The constructors for hosts.

use super::{Expected, row};
use crate::audit::Party::{Client, Proxy};
use crate::ipc::NodeRefusal;
use crate::ssh::refusal::*;

fn refused(reason: &str, hint: Option<&str>) -> Refusal {
    refused_node(&NodeRefusal {
        reason: reason.to_owned(),
        message: "no".to_owned(),
        hint: hint.map(str::to_owned),
    })
}

pub(super) fn node_rows() -> Vec<Expected> {
    vec![
        row(
            nodes_unavailable(&"no answer"),
            Proxy,
            "nodes-unavailable",
            "the auth process cannot say which node this is: no answer\ntry again in a moment; if it goes on, tell the people who run this proxy",
        ),
        row(
            refused("node-locked", Some("ask")),
            Client,
            "node-locked",
            "no\nask",
        ),
        row(refused("key-replayed", None), Client, "key-replayed", "no"),
        row(refused("unfit-key", None), Client, "unfit-key", "no"),
        row(
            refused("state-unavailable", None),
            Proxy,
            "state-unavailable",
            "no",
        ),
        row(refused("of-later", None), Client, "node-refused", "no"),
    ]
}
