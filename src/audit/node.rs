//! Events about hosts that join, and the tokens with which they do.

use std::net::SocketAddr;

use serde::Serialize;
use uuid::Uuid;

use super::EventKind;
use super::fields::UnixSeconds;
use crate::model::{ConnectionId, NodeId, Serial};
use crate::sys::account::Actor;

/// Something that a host did to become or stay a node, or an administrator about one. `name` is the node's
/// name, `node` its id. No token is in any of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub enum NodeEvent {
    /// See [`EventKind::TokenAdded`].
    TokenAdded {
        token: Uuid,
        names: Vec<String>,
        labels: Vec<String>,
        tunnel: &'static str,
        uses: u64,
        expires: UnixSeconds,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::TokenRemoved`].
    TokenRemoved {
        token: Uuid,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::NodeJoined`].
    NodeJoined(JoinedEvent),
    /// See [`EventKind::NodeReturned`].
    NodeReturned(JoinedEvent),
    /// See [`EventKind::NodeRefused`].
    NodeRefused {
        what: &'static str,
        reason: &'static str,
        message: String,
        name: Option<String>,
        fingerprint: Option<String>,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::NodeCertificate`].
    NodeCertificate {
        node: NodeId,
        name: String,
        reason: &'static str,
        serial: Serial,
        valid_before: UnixSeconds,
        ca_fingerprint: String,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::TunnelOpened`].
    TunnelOpened {
        node: NodeId,
        name: String,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::TunnelEnded`].
    TunnelEnded {
        node: NodeId,
        name: String,
        reason: &'static str,
        duration_ms: u64,
        streams: u64,
        client_addr: SocketAddr,
        connection: ConnectionId,
    },
    /// See [`EventKind::NodeLocked`].
    NodeLocked {
        node: NodeId,
        name: String,
        message: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::NodeUnlocked`].
    NodeUnlocked {
        node: NodeId,
        name: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::NodeRemoved`].
    NodeRemoved {
        node: NodeId,
        name: String,
        #[serde(flatten)]
        actor: Actor,
    },
    /// See [`EventKind::NodesRead`].
    NodesRead {
        how: &'static str,
        name: Option<String>,
        #[serde(flatten)]
        actor: Actor,
    },
}

/// The fields of [`EventKind::NodeJoined`] and [`EventKind::NodeReturned`].
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields of a row in the documentation's table"
)]
pub struct JoinedEvent {
    pub node: NodeId,
    pub name: String,
    pub names: Vec<String>,
    pub labels: Vec<String>,
    pub tunnel: &'static str,
    pub token: Uuid,
    pub fingerprint: String,
    pub address: String,
    pub client_addr: SocketAddr,
    pub connection: ConnectionId,
}

impl NodeEvent {
    /// Its kind, which has its code and name.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::TokenAdded { .. } => EventKind::TokenAdded,
            Self::TokenRemoved { .. } => EventKind::TokenRemoved,
            Self::NodeJoined(_) => EventKind::NodeJoined,
            Self::NodeReturned(_) => EventKind::NodeReturned,
            Self::NodeRefused { .. } => EventKind::NodeRefused,
            Self::NodeCertificate { .. } => EventKind::NodeCertificate,
            Self::TunnelOpened { .. } => EventKind::TunnelOpened,
            Self::TunnelEnded { .. } => EventKind::TunnelEnded,
            Self::NodeLocked { .. } => EventKind::NodeLocked,
            Self::NodeUnlocked { .. } => EventKind::NodeUnlocked,
            Self::NodeRemoved { .. } => EventKind::NodeRemoved,
            Self::NodesRead { .. } => EventKind::NodesRead,
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// One event of every kind.
    pub(in crate::audit) fn samples(actor: &Actor, client_addr: SocketAddr) -> Vec<NodeEvent> {
        let (node, connection) = (NodeId::new(), ConnectionId::new());
        let name = || "db1".to_owned();
        let actor = || actor.clone();
        let joined = JoinedEvent {
            node,
            name: name(),
            names: vec![name()],
            labels: vec!["env=prod".to_owned()],
            tunnel: "no",
            token: Uuid::nil(),
            fingerprint: "SHA256:abc".to_owned(),
            address: "10.0.0.5".to_owned(),
            client_addr,
            connection,
        };
        vec![
            NodeEvent::TokenAdded {
                token: Uuid::nil(),
                names: vec![name()],
                labels: Vec::new(),
                tunnel: "allowed",
                uses: 1,
                expires: UnixSeconds(1_800_000_000),
                actor: actor(),
            },
            NodeEvent::TokenRemoved {
                token: Uuid::nil(),
                actor: actor(),
            },
            NodeEvent::NodeJoined(joined.clone()),
            NodeEvent::NodeReturned(joined),
            NodeEvent::NodeRefused {
                what: "join",
                reason: "token-unknown",
                message: "there is no such token".to_owned(),
                name: None,
                fingerprint: Some("SHA256:abc".to_owned()),
                client_addr,
                connection,
            },
            NodeEvent::NodeCertificate {
                node,
                name: name(),
                reason: "half-life",
                serial: Serial::new(7).unwrap(),
                valid_before: UnixSeconds(1_800_000_000),
                ca_fingerprint: "SHA256:def".to_owned(),
                client_addr,
                connection,
            },
            NodeEvent::TunnelOpened {
                node,
                name: name(),
                client_addr,
                connection,
            },
            NodeEvent::TunnelEnded {
                node,
                name: name(),
                reason: "host-left",
                duration_ms: 86_400_000,
                streams: 7,
                client_addr,
                connection,
            },
            NodeEvent::NodeLocked {
                node,
                name: name(),
                message: None,
                actor: actor(),
            },
            NodeEvent::NodeUnlocked {
                node,
                name: name(),
                actor: actor(),
            },
            NodeEvent::NodeRemoved {
                node,
                name: name(),
                actor: actor(),
            },
            NodeEvent::NodesRead {
                how: "nodes show",
                name: Some(name()),
                actor: actor(),
            },
        ]
    }
}
