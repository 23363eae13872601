//! The service with which the proxies that share a state find each other: a node has its tunnel at one of
//! them, and the clients of all of them reach it.
//!
//! A caller can be controlled by an attacker. So the id under which a proxy is known is not the caller's to
//! choose, and all that it learns of others is the address and the host key by which it can reach them.

use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;

use super::ca_keys::line;
use crate::model::NodeId;

/// A request about the proxies that share the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeersRequest {
    /// The caller serves clients, with this host key. Said again every ten seconds.
    Announce(Announcement),
    /// Asks at which other proxy the node has its newest tunnel.
    Find(NodeId),
    /// Asks whether another proxy has announced this host key, and is alive.
    Knows(#[serde(with = "line")] PublicKey),
}

/// What a proxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Where other proxies reach it, as `host:port`; `None` if they do not.
    pub address: Option<String>,
    /// The host key that it shows, and that it proves itself by to others.
    #[serde(with = "line")]
    pub key: PublicKey,
}

/// The answer to [`PeersRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeersAnswer {
    /// To [`PeersRequest::Announce`].
    Noted,
    /// To [`PeersRequest::Find`]: `None` if no other proxy that can be reached has a tunnel of the node.
    Found(Option<PeerProxy>),
    /// To [`PeersRequest::Knows`].
    Known(bool),
    /// The state could not be read or written: the same question may be answered later.
    Unavailable,
}

/// Another proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerProxy {
    /// Where it is reached, as `host:port`.
    pub address: String,
    /// The host key that it shows.
    #[serde(with = "line")]
    pub key: PublicKey,
}
