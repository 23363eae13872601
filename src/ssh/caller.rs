//! Who the client of an outer connection is.

use std::net::SocketAddr;

use crate::access::Identity;

/// The client of an outer connection: the person, and the address that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
}
