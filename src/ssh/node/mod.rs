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
pub(super) mod services;
#[cfg(test)]
mod tests;
mod tunnel;
mod unanswered;
mod verifier;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use client::NodesClient;
pub(crate) use host::HostCaller;
pub use report::{HostReport, ReportError, ReportReader};
pub(crate) use services::NodeServices;
pub(crate) use verifier::{Authenticator, NodeVerifier};

use self::connection::NodeConnection;
use super::leg::Leg;
use super::outer::ClientStream;
use super::services::OuterServices;

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
