//! The inventory of hosts, and how a target finds its node.
//!
//! The inventory is pure look-up and asks no server. Names that it does not have are DNS's to answer,
//! and then [`may_dial`] says which answers a client may be connected to.

mod address;
mod inventory;
mod joined;
mod open;
mod whereabouts;

use crate::access::HostWay;
use crate::model::{Label, NodeId, TunnelRule};
use crate::wire::Legacy;

pub use crate::access::{Forbidden, may_dial, plain};
pub use address::{AddressError, addresses};
pub use inventory::{Inventory, InventoryError, Match, ResolveError, place};
pub use joined::NameClash;
pub use open::OpenHost;
pub use whereabouts::Whereabouts;

/// The port of sshd.
pub const DEFAULT_PORT: u16 = 22;

/// One host of the inventory: from the configuration, or one that has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The name that users ask for, in lower case. The policy goes by it.
    pub name: String,
    /// More names that users may ask for, in lower case. Only a host that has joined has some.
    pub also_named: Vec<String>,
    /// The host part of `addr`, an address or a DNS name. Of a host that has joined its address, which
    /// it has reported itself.
    pub host: String,
    /// The port part of `addr`; 22 where it has none.
    pub port: u16,
    /// Sorted labels.
    pub labels: Vec<Label>,
    /// Weak algorithms that it is offered, because it has no better ones.
    pub legacy: Vec<Legacy>,
    /// The id of a host that has joined; `None` for a node of the configuration.
    pub id: Option<NodeId>,
    /// Whether it is reached through a tunnel that it keeps open.
    pub tunnel: TunnelRule,
    /// An administrator has locked it: nobody may connect to it.
    pub is_locked: bool,
}

impl Node {
    /// How it is reached.
    #[must_use]
    pub fn way(&self) -> HostWay {
        match (self.id, self.tunnel) {
            (None, _) | (_, TunnelRule::No) => HostWay::Direct,
            (Some(id), TunnelRule::Allowed) => HostWay::TunnelOrDirect(id),
            (Some(id), TunnelRule::Required) => HostWay::Tunnel(id),
        }
    }

    /// Whether it may be at its address: what has a tunnel only is at no address of the proxy's network.
    pub(crate) fn has_address(&self) -> bool {
        !matches!(self.way(), HostWay::Tunnel(_))
    }

    /// Whether a host that is asked for by its address is this one. An address that a host has reported
    /// itself must not lead into its tunnel.
    fn is_found_by_address(&self) -> bool {
        self.way() == HostWay::Direct
    }
}
