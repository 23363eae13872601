//! The constructors for other proxies.

use super::{Expected, row};
use crate::audit::Party::{Client, Proxy};
use crate::ssh::refusal::*;

pub(super) fn peer_rows() -> Vec<Expected> {
    vec![
        row(
            unknown_peer(),
            Client,
            "unknown-peer",
            "no other proxy on the state of this one has announced this key\nproxies announce themselves every 10 s; all need the same state.url, and clocks that agree",
        ),
        row(
            peers_unavailable(&"no answer"),
            Proxy,
            "peers-unavailable",
            "the auth process cannot say which proxies there are: no answer\ntry again in a moment",
        ),
    ]
}
