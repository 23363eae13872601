//! The connections of hosts: they join, report how they are, and keep tunnels.
//!
//! A host proves its host key under the user name `join` (`verifier`). Its connection serves four programs
//! and one forwarded port, and nothing else (`front`): `join`, `heartbeat`, `successors` and `revocations`
//! (`programs`, with the text that comes in `report` and goes out in `answer`), and `tcpip-forward`, which
//! binds nothing: the proxy opens channels to the sshd of that host through it (`tunnel`). What is decided
//! about a host is asked of another process (`client`).

mod answer;
mod client;
mod connection;
mod front;
mod host;
mod programs;
mod report;
mod revocation_file;
#[cfg(test)]
mod tests;
mod tunnel;
mod verifier;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use client::NodesClient;
pub(crate) use host::ProvedHost;
pub use report::{HostReport, ReportError, ReportReader};
pub(crate) use revocation_file::RevocationFile;
pub(crate) use verifier::{Authenticator, NodeVerifier};

use self::connection::NodeConnection;
use super::leg::Leg;
use super::outer::ClientStream;
use super::services::OuterServices;
use super::tunnels::Tunnels;
use crate::model::ConnectionId;

/// What the connections of hosts share.
#[derive(Debug)]
pub(crate) struct NodeServices {
    /// Asks about hosts.
    pub(crate) client: NodesClient,
    /// The tunnels that they keep.
    pub(crate) tunnels: Tunnels,
    /// What is revoked, as a file for them.
    pub(crate) revocations: RevocationFile,
    /// Cancelled when this process accepts no client any more: its tunnels end as soon as nobody uses them.
    pub(crate) closing: CancellationToken,
}

/// The connection of a host that has proved its key.
#[derive(Debug)]
pub(crate) struct HostCaller {
    pub(crate) host: ProvedHost,
    pub(crate) address: SocketAddr,
    /// What the connection is called in the audit log.
    pub(crate) connection: ConnectionId,
}

/// Serves a host until it leaves or `shutdown` ends it.
pub(crate) async fn serve<S: ClientStream>(
    services: Arc<OuterServices>,
    caller: HostCaller,
    leg: Leg<S>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) {
    // No host has proved its key without them.
    let Some(nodes) = services.nodes.clone() else {
        return;
    };
    NodeConnection::new(services, nodes, caller, leg, shutdown, tasks)
        .run()
        .await;
}
