//! The host on a connection.

use std::net::SocketAddr;

use super::client::HostClient;
use crate::ipc::KnownNode;
use crate::model::ConnectionId;

/// A host that has proved its host key.
#[derive(Debug)]
pub(crate) struct ProvedHost {
    /// Asks about it.
    pub(super) client: HostClient,
    /// The node that it is, if it has joined.
    pub(super) node: Option<KnownNode>,
    fingerprint: String,
}

impl ProvedHost {
    pub(super) fn new(client: HostClient, node: Option<KnownNode>, fingerprint: String) -> Self {
        Self {
            client,
            node,
            fingerprint,
        }
    }

    /// What its connections are counted and audited under: `node:NAME`, or by its key before it has joined.
    /// No user is called so.
    pub(crate) fn name(&self) -> String {
        match &self.node {
            Some(node) => format!("node:{}", node.name),
            None => format!("node:{}", self.fingerprint),
        }
    }
}

/// The connection of a host that has proved its key.
#[derive(Debug)]
pub(crate) struct HostCaller {
    pub(crate) host: ProvedHost,
    pub(crate) address: SocketAddr,
    /// What the connection is called in the audit log.
    pub(crate) connection: ConnectionId,
}

impl HostCaller {
    /// The host that has proved its key on this connection.
    pub(crate) fn new(host: ProvedHost, address: SocketAddr, connection: ConnectionId) -> Self {
        Self {
            host,
            address,
            connection,
        }
    }
}
