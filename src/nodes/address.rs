//! What is dialled for a host: the addresses of its name, of those only what a client may be connected to.

use std::net::SocketAddr;

use thiserror::Error;

use super::{Forbidden, may_dial};
use crate::dns::{DnsError, Resolver};

/// Why there is nothing to dial.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The name has no address.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// It has some, and none may be dialled.
    #[error("{host} is out of reach")]
    Forbidden {
        /// The host that was asked for.
        host: String,
        /// What is wrong with the first of its addresses.
        source: Forbidden,
    },
}

/// The addresses to dial for a host, in order of preference; at least one. What the inventory
/// lists may be anything, for everything else [`may_dial`] decides address by address.
///
/// # Errors
/// When there is no address, or none that may be dialled.
pub async fn addresses(
    host: &str,
    port: u16,
    is_listed: bool,
    resolver: &Resolver,
) -> Result<Vec<SocketAddr>, AddressError> {
    let mut addresses = resolver.resolve(host).await?;
    if !is_listed {
        let refused = addresses
            .iter()
            .find_map(|address| may_dial(*address).err());
        addresses.retain(|address| may_dial(*address).is_ok());
        if let Some(source) = refused.filter(|_| addresses.is_empty()) {
            let host = host.to_owned();
            return Err(AddressError::Forbidden { host, source });
        }
    }
    let dial = |address| SocketAddr::new(address, port);
    Ok(addresses.into_iter().map(dial).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_inventory_vouches_for_its_own_addresses() {
        let resolver = Resolver::from_system().unwrap();
        assert_eq!(
            addresses("127.0.0.1", 2222, true, &resolver).await.unwrap(),
            ["127.0.0.1:2222".parse().unwrap()]
        );
        for host in ["127.0.0.1", "localhost"] {
            let refused = addresses(host, 22, false, &resolver).await.unwrap_err();
            assert!(
                matches!(
                    refused,
                    AddressError::Forbidden {
                        source: Forbidden::Loopback(_),
                        ..
                    }
                ),
                "{refused:?}"
            );
        }
    }
}
