//! Which addresses a client may be connected to when no inventory vouches for them.
//!
//! Without this, the proxy would be a way into its own machine and into the metadata service of
//! the cloud that it runs in. Private networks are where fleets live, so they stay open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use crate::dns::{DnsError, Resolver};

/// Why an address is not dialled for a client.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Forbidden {
    /// 0.0.0.0/8 or `::`, which mean this machine.
    #[error("{0} is an unspecified address")]
    Unspecified(IpAddr),
    /// 127.0.0.0/8 or `::1`.
    #[error("{0} is a loopback address")]
    Loopback(IpAddr),
    /// 169.254.0.0/16 or `fe80::/10`, where clouds keep their metadata services.
    #[error("{0} is a link-local address")]
    LinkLocal(IpAddr),
    /// 224.0.0.0/4 or `ff00::/8`.
    #[error("{0} is a multicast address")]
    Multicast(IpAddr),
    /// 255.255.255.255, and the reserved 240.0.0.0/4 around it.
    #[error("{0} is a broadcast or reserved address")]
    Broadcast(IpAddr),
}

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

/// Says whether a client may be connected to an address that it gave, or that DNS gave for a name
/// outside the inventory. An IPv6 address that carries an IPv4 address (mapped, compatible, NAT64,
/// 6to4) counts as both.
///
/// # Errors
/// The kind of address that is refused.
pub fn may_dial(address: IpAddr) -> Result<(), Forbidden> {
    match address {
        IpAddr::V4(v4) => judge_v4(v4, address),
        IpAddr::V6(v6) => {
            judge_v6(v6)?;
            embedded(v6).map_or(Ok(()), |v4| judge_v4(v4, address))
        }
    }
}

fn judge_v4(v4: Ipv4Addr, address: IpAddr) -> Result<(), Forbidden> {
    match v4.octets() {
        [0, ..] => Err(Forbidden::Unspecified(address)),
        [127, ..] => Err(Forbidden::Loopback(address)),
        [169, 254, ..] => Err(Forbidden::LinkLocal(address)),
        [224..=239, ..] => Err(Forbidden::Multicast(address)),
        [240..=255, ..] => Err(Forbidden::Broadcast(address)),
        _ => Ok(()),
    }
}

fn judge_v6(v6: Ipv6Addr) -> Result<(), Forbidden> {
    let address = IpAddr::V6(v6);
    if v6.is_unspecified() {
        Err(Forbidden::Unspecified(address))
    } else if v6.is_loopback() {
        Err(Forbidden::Loopback(address))
    } else if v6.is_unicast_link_local() {
        Err(Forbidden::LinkLocal(address))
    } else if v6.is_multicast() {
        Err(Forbidden::Multicast(address))
    } else {
        Ok(())
    }
}

/// The IPv4 address that an IPv6 address leads to, after the prefixes of RFC 4291 (2.5.5),
/// RFC 6052 (`64:ff9b::/96`) and RFC 3056 (`2002::/16`).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_own_machine_and_the_metadata_service_are_out_of_reach() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(may_dial(text.parse().unwrap()).is_err(), "{text}");
        }
    }

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

    #[test]
    fn fleets_are_within_reach() {
        for text in [
            "10.0.0.5",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "203.0.113.10",
            "fd00::5",
            "2001:db8::1",
            "::ffff:10.0.0.5",
            "64:ff9b::a00:5",
        ] {
            assert_eq!(may_dial(text.parse().unwrap()), Ok(()), "{text}");
        }
    }
}
