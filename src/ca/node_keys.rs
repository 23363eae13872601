//! What the nodes that have joined have of the CAs' keys, and what they lack in a phase of a rotation. Pure.

use std::fmt;

use super::error::CaError;
use super::kind::CaKind;
use super::rotation::RotationPhase;

/// What a node that has joined has said of the CAs' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeys {
    /// Its name.
    pub name: String,
    /// When it was last heard of, in seconds since the epoch.
    pub heard: u64,
    /// Whether it reports.
    pub is_online: bool,
    /// Whether it is locked: then it gets nothing.
    pub is_locked: bool,
    /// The fingerprints of the user CA's keys that its sshd trusts.
    pub user_cas: Vec<String>,
    /// The fingerprints of the host CA's keys by which it knows the proxy.
    pub host_cas: Vec<String>,
    /// The fingerprint of the key that has signed the host certificate that it has; `None` if that is not
    /// known.
    pub certificate: Option<String>,
}

/// Tells what the nodes that have joined have said.
pub trait NodeReports: fmt::Debug + Send + Sync {
    /// All of them, by their names.
    ///
    /// # Errors
    /// When they cannot be read.
    fn node_keys(&self) -> Result<Vec<NodeKeys>, CaError>;
}

/// No host has joined, where there is no state.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoNodes;

impl NodeReports for NoNodes {
    fn node_keys(&self) -> Result<Vec<NodeKeys>, CaError> {
        Ok(Vec::new())
    }
}

/// What a node does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lack {
    /// The user CA's key, which its sshd has to trust.
    UserKey,
    /// The host CA's key, by which it knows the proxy.
    HostKey,
    /// A host certificate that this key has signed.
    Certificate,
}

impl Lack {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserKey => "user_key",
            Self::HostKey => "host_key",
            Self::Certificate => "certificate",
        }
    }

    /// As the end of a sentence that begins with the node.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::UserKey => "has not reported that it trusts the user CA's key",
            Self::HostKey => "has not reported that it knows the host CA's key",
            Self::Certificate => "has no host certificate of the key yet",
        }
    }
}

/// A node that lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its name.
    pub name: String,
    /// The first thing that it lacks.
    pub lack: Lack,
    /// When it was last heard of, in seconds since the epoch.
    pub heard: u64,
    /// Whether it reports, so that it is waited for.
    pub is_online: bool,
}

/// What every node has to have before a rotation leaves this phase for the next one.
const fn required(kind: CaKind, phase: RotationPhase) -> &'static [Lack] {
    use RotationPhase::{Init, Rollback, Standby, UpdateClients, UpdateServers};
    match (kind, phase) {
        (_, Standby) => &[],
        (CaKind::User, Init | UpdateClients | UpdateServers | Rollback) => &[Lack::UserKey],
        (CaKind::Host, Init | UpdateClients) => &[Lack::HostKey],
        (CaKind::Host, UpdateServers | Rollback) => &[Lack::HostKey, Lack::Certificate],
    }
}

/// The nodes that lack what this phase brings, in their order; locked ones are left out. `staying` is the
/// fingerprint of the key that stays: the new one, or in a rollback the old one.
#[must_use]
pub fn lacking(
    kind: CaKind,
    phase: RotationPhase,
    staying: &str,
    nodes: &[NodeKeys],
) -> Vec<Lacking> {
    let has = |node: &NodeKeys, what| match what {
        Lack::UserKey => node.user_cas.iter().any(|key| key == staying),
        Lack::HostKey => node.host_cas.iter().any(|key| key == staying),
        Lack::Certificate => node.certificate.as_deref() == Some(staying),
    };
    let lacking = |node: &NodeKeys| {
        let mut required = required(kind, phase).iter();
        let lack = required.find(|what| !has(node, **what))?;
        Some(Lacking {
            name: node.name.clone(),
            lack: *lack,
            heard: node.heard,
            is_online: node.is_online,
        })
    };
    let nodes = nodes.iter().filter(|node| !node.is_locked);
    nodes.filter_map(lacking).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use RotationPhase::{Init, Rollback, Standby, UpdateClients, UpdateServers};

    fn node(name: &str, user: &[&str], host: &[&str], certificate: Option<&str>) -> NodeKeys {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        NodeKeys {
            name: name.to_owned(),
            heard: 7,
            is_online: true,
            is_locked: false,
            user_cas: owned(user),
            host_cas: owned(host),
            certificate: certificate.map(str::to_owned),
        }
    }

    fn lacks(kind: CaKind, phase: RotationPhase, node: &NodeKeys) -> Option<Lack> {
        let staying = if phase == Rollback { "old" } else { "new" };
        let lacking = lacking(kind, phase, staying, std::slice::from_ref(node));
        lacking.first().map(|one| one.lack)
    }

    #[test]
    fn each_phase_waits_for_what_it_brings() {
        let stale = node("a", &["old"], &["old"], Some("old"));
        let keys = node("a", &["old", "new"], &["old", "new"], Some("old"));
        let ready = node("a", &["new"], &["new"], Some("new"));
        for (kind, phase, of_stale, of_keys, of_ready) in [
            (CaKind::User, Standby, None, None, None),
            (CaKind::User, Init, Some(Lack::UserKey), None, None),
            (CaKind::User, UpdateClients, Some(Lack::UserKey), None, None),
            (CaKind::User, UpdateServers, Some(Lack::UserKey), None, None),
            (CaKind::User, Rollback, None, None, Some(Lack::UserKey)),
            (CaKind::Host, Standby, None, None, None),
            (CaKind::Host, Init, Some(Lack::HostKey), None, None),
            (CaKind::Host, UpdateClients, Some(Lack::HostKey), None, None),
            (
                CaKind::Host,
                UpdateServers,
                Some(Lack::HostKey),
                Some(Lack::Certificate),
                None,
            ),
            (CaKind::Host, Rollback, None, None, Some(Lack::HostKey)),
        ] {
            for (node, lack) in [(&stale, of_stale), (&keys, of_keys), (&ready, of_ready)] {
                assert_eq!(lacks(kind, phase, node), lack, "{kind} {phase} {node:?}");
            }
        }
        let unknown = node("a", &[], &["new"], None);
        let lack = lacks(CaKind::Host, UpdateServers, &unknown);
        assert_eq!(lack, Some(Lack::Certificate));
    }

    #[test]
    fn locked_nodes_are_left_out_and_offline_ones_are_named() {
        let mut nodes = ["a", "b", "c"].map(|name| node(name, &["old"], &[], None));
        nodes[0].is_locked = true;
        nodes[1].is_online = false;
        let lacking = lacking(CaKind::User, Init, "new", &nodes);
        let named: Vec<_> = lacking
            .iter()
            .map(|one| (one.name.as_str(), one.is_online, one.heard))
            .collect();
        assert_eq!(named, [("b", false, 7), ("c", true, 7)]);
    }
}
