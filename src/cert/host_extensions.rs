//! What the certificate of a node says about it, beside its names. OpenSSH ignores extensions that it does
//! not know (PROTOCOL.certkeys).

use crate::model::{ClusterName, HostPrincipal, NodeId};

/// The extension with the id of a node.
pub(super) const NODE_ID: &str = "node-id@rproxy";
/// The extension with the name of a node.
const NODE_NAME: &str = "node-name@rproxy";
/// The extension with the cluster that a node is in.
const CLUSTER: &str = "cluster@rproxy";
/// The extension with what kind of machine has the certificate.
const ROLE: &str = "role@rproxy";
/// The role of a machine that users log in to.
const NODE: &str = "node";

/// What the certificate of a node that has joined says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostExtensions {
    /// The id of the node: `node-id@rproxy`.
    pub node_id: NodeId,
    /// Its name: `node-name@rproxy`.
    pub node_name: HostPrincipal,
    /// The cluster that it is in: `cluster@rproxy`.
    pub cluster: ClusterName,
}

impl HostExtensions {
    /// The names of the extensions and their values, `role@rproxy` among them. Sorted, as the format wants.
    pub(super) fn entries(&self) -> [(&'static str, String); 4] {
        [
            (CLUSTER, self.cluster.as_str().to_owned()),
            (NODE_ID, self.node_id.to_string()),
            (NODE_NAME, self.node_name.to_string()),
            (ROLE, NODE.to_owned()),
        ]
    }
}
