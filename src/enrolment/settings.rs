//! What the configuration says about hosts that join.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::ClusterName;

/// What the configuration says about hosts that join.
#[derive(Clone, Debug)]
pub struct EnrolmentSettings {
    /// The cluster's name, which stands behind the names of nodes.
    pub cluster: ClusterName,
    /// How long host certificates of nodes are valid.
    pub node_ttl: Duration,
    /// Names under which clients know the proxy.
    pub proxy_names: BTreeSet<String>,
    /// Names of the hosts of the configuration file, and the names by which they are dialled.
    pub file_names: BTreeSet<String>,
}
