//! Where a target leads, and how its host is reached.

use super::RequestedHost;
use crate::model::{NodeId, Target};

/// How a host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostWay {
    /// At its address.
    Direct,
    /// Through the tunnel that this node keeps open, and in no other way.
    Tunnel(NodeId),
    /// Through the tunnel of this node while it has one, else at its address.
    TunnelOrDirect(NodeId),
}

/// Where a target leads: resolved once, and never looked up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What the user asked for.
    pub target: Target,
    /// The inventory's name for it, where it is in the inventory.
    pub node: Option<String>,
    /// What the policy goes by.
    pub place: RequestedHost,
    /// Other places that this turns out to be too. The policy must allow all of them.
    pub also: Vec<RequestedHost>,
    /// What is dialled: an address or a DNS name.
    pub host: String,
    /// The port that is dialled.
    pub port: u16,
    /// Names of which the host's certificate must carry one.
    pub names: Vec<String>,
    /// The id of the node, if it is a host that has joined: a certificate that says another one is
    /// another host's.
    pub joined: Option<NodeId>,
    /// How the host is reached.
    pub way: HostWay,
}

impl Route {
    /// Where the host is reached, for people.
    #[must_use]
    pub fn reached(&self) -> String {
        let Self { host, port, .. } = self;
        match self.way {
            HostWay::Direct => format!("{host}:{port}"),
            HostWay::Tunnel(_) => "through its tunnel".to_owned(),
            HostWay::TunnelOrDirect(_) => format!("through its tunnel, or at {host}:{port}"),
        }
    }
}
