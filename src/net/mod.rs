//! Sockets and addresses, independent of the protocol: how many clients a listener accepts, which client is
//! disconnected for another, which request is next, from which address hosts are dialled, and whether the threads
//! that serve connections still run.
//!
//! Counters, guards and queues; the only connections made here are `egress`'s. Every listener of
//! the proxy uses them.

mod client_set;
mod egress;
mod fair_queue;
mod limits;
mod reachable;
mod runtimes;

use std::net::IpAddr;

pub(crate) use client_set::{ClientSet, ClientTicket};
pub(crate) use egress::connect;
pub(crate) use fair_queue::{FairQueue, HandshakeQueue, QueueFull, QueueOwner, QueueSlot};
pub use limits::ConnectionLimits;
pub(crate) use limits::{ConnectionGuard, ConnectionLimiter, LimitExceeded, Rejected};
pub(crate) use reachable::RecentlyReachable;
pub use runtimes::{ProbeResult, RuntimeProbe};

/// The address of a peer, for rules about addresses: IPv4 in its own form.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
