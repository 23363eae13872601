//! The inventory of hosts, and how a target finds its node.
//!
//! The inventory is pure look-up and asks no server. Names that it does not have are DNS's to answer,
//! and then [`may_dial`] says which answers a client may be connected to.

mod address;
mod inventory;
mod whereabouts;

use crate::model::Label;
use crate::wire::Legacy;

pub use crate::access::{Forbidden, may_dial, plain};
pub use address::{AddressError, addresses};
pub use inventory::{Inventory, InventoryError, Match, ResolveError, place};
pub use whereabouts::Whereabouts;

/// The port of sshd.
pub const DEFAULT_PORT: u16 = 22;

/// One host of the static inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name that users ask for, in lower case.
    pub name: String,
    /// The host part of `addr`: an address or a DNS name.
    pub host: String,
    /// The port part of `addr`; 22 where it has none.
    pub port: u16,
    /// Sorted labels.
    pub labels: Vec<Label>,
    /// Weak algorithms that it is offered, because it has no better ones.
    pub legacy: Vec<Legacy>,
}
