//! What the connections of hosts share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::client::NodesClient;
use crate::ssh::revocation_file::RevocationFile;
use crate::ssh::tunnels::Tunnels;

/// What the connections of hosts share.
#[derive(Debug)]
pub(crate) struct NodeServices {
    /// Asks about hosts.
    pub(crate) client: NodesClient,
    /// The tunnels that they keep.
    pub(crate) tunnels: Tunnels,
    /// What is revoked, as a file for them.
    pub(crate) revocations: Arc<RevocationFile>,
    /// Cancelled when this process accepts no client any more: its tunnels end as soon as nobody uses them.
    pub(crate) closing: CancellationToken,
}
