//! What is known about the connection of a host.

use std::net::SocketAddr;

use ssh_key::{Fingerprint, PublicKey};

use crate::ipc::{NodesRequest, SessionDigest};
use crate::model::ConnectionId;
use crate::state::OpenTunnel;

/// What is known about a connection.
#[derive(Debug)]
pub(super) struct HostConnection {
    pub(super) caller: u64,
    pub(super) connection: ConnectionId,
    pub(super) client: SocketAddr,
    /// The session id that its proofs are for.
    pub(super) session: Option<SessionDigest>,
    /// The host key that has proved itself.
    pub(super) proved: Option<ProvedHostKey>,
    /// Its tunnel, while it is open.
    pub(super) tunnel: Option<OpenTunnel>,
    /// Whether its host is a node.
    pub(super) is_node: bool,
}

/// A host key that has proved itself.
#[derive(Clone, Debug)]
pub(super) struct ProvedHostKey {
    pub(super) key: PublicKey,
    pub(super) fingerprint: Fingerprint,
}

impl HostConnection {
    pub(super) fn new(caller: u64, request: &NodesRequest) -> Self {
        Self {
            caller,
            connection: request.connection,
            client: request.client,
            session: None,
            proved: None,
            tunnel: None,
            is_node: false,
        }
    }
}
