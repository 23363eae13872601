//! Who the client of an outer connection is.

use std::net::SocketAddr;

use super::people_client::PersonClient;
use crate::access::Identity;

/// The client of an outer connection: the person, and the address that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
    /// Asks about the person. `None` where people do not sign in, or the client has shown a certificate
    /// and nothing else.
    pub(crate) person: Option<PersonClient>,
}
