//! The critical option `source-address`: a list of CIDR networks, read as sshd reads it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::ip_network::{IpNetwork, IpNetworkError};
use super::shown;

/// Why a `source-address` list does not parse.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SourceAddressError {
    /// An empty list, or an empty entry in it.
    #[error("the source-address list has an empty entry")]
    Empty,
    /// Neither an address nor ADDRESS/LENGTH.
    #[error("\"{}\" is not an address or a network (ADDRESS/LENGTH)", shown::text(.0))]
    NotANetwork(String),
    /// sshd refuses it: address bits after the mask are set.
    #[error("\"{}\" has address bits beyond its mask", shown::text(.0))]
    HostBits(String),
}

/// Networks that a certificate may be used from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAddresses(Vec<IpNetwork>);

impl SourceAddresses {
    /// Whether `peer` is in one of the networks. IPv4 in IPv6 clothes counts as IPv4, as in sshd.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Whether every address of these networks is in one of the others.
    #[must_use]
    pub fn is_within(&self, others: &Self) -> bool {
        self.0.iter().all(|inner| {
            let has_it = |outer: &IpNetwork| outer.has_within(inner);
            others.0.iter().any(has_it)
        })
    }

    /// The addresses that stand alone, in networks of one.
    pub fn single_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let single = self.0.iter().filter(|network| network.is_single());
        single.map(IpNetwork::address)
    }
}

impl FromStr for SourceAddresses {
    type Err = SourceAddressError;

    /// A comma-separated list. One bad entry spoils the whole list, as in sshd's
    /// `addr_match_cidr_list`: a typing error must not widen or narrow anything in silence.
    fn from_str(list: &str) -> Result<Self, SourceAddressError> {
        list.split(',')
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for SourceAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, network) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

/// One entry of the list.
fn entry(text: &str) -> Result<IpNetwork, SourceAddressError> {
    if text.is_empty() {
        return Err(SourceAddressError::Empty);
    }
    text.parse().map_err(|error| match error {
        IpNetworkError::NotANetwork => SourceAddressError::NotANetwork(text.to_owned()),
        IpNetworkError::HostBits { .. } => SourceAddressError::HostBits(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, peer: &str) -> bool {
        list.parse::<SourceAddresses>()
            .unwrap()
            .contains(peer.parse().unwrap())
    }

    #[test]
    fn networks_and_single_addresses_match() {
        assert!(allows("203.0.113.10/32", "203.0.113.10"));
        assert!(!allows("203.0.113.10/32", "203.0.113.11"));
        assert!(allows("10.0.0.0/8,192.0.2.1", "10.200.3.4"));
        assert!(allows("10.0.0.0/8,192.0.2.1", "192.0.2.1"));
        assert!(allows("0.0.0.0/0", "255.255.255.255"));
        assert!(!allows("0.0.0.0/0", "2001:db8::1"));
        assert!(allows("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!allows("2001:db8::/32", "2001:db9::1"));
        assert!(allows("::/0", "::1"));
        assert!(!allows("::/0", "127.0.0.1"));
    }

    #[test]
    fn mapped_peers_count_as_ipv4() {
        assert!(allows("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn networks_lie_within_others() {
        let within = |inner: &str, outer: &str| {
            let parse = |list: &str| list.parse::<SourceAddresses>().unwrap();
            parse(inner).is_within(&parse(outer))
        };
        assert!(within("10.0.0.1", "10.0.0.1/32"));
        assert!(within("10.0.0.1", "192.0.2.1,10.0.0.0/24"));
        assert!(within(
            "10.0.0.0/24,2001:db8::1",
            "2001:db8::/64,10.0.0.0/24"
        ));
        assert!(!within("10.0.0.0/24", "10.0.0.1"));
        assert!(!within("10.0.0.0/24", "10.0.0.0/25,10.0.0.128/25"));
        assert!(!within("10.0.0.1,10.0.0.2", "10.0.0.1"));
        assert!(!within("10.0.0.1", "::/0"));
    }

    #[test]
    fn one_bad_entry_spoils_the_list() {
        for bad in [
            "",
            ",",
            "10.0.0.1,",
            "10.0.0.1/24",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.*",
            "!10.0.0.1",
            "10.0.0.1, 10.0.0.2",
            "::/129",
            "2001:db8::1/32",
            "db1",
        ] {
            assert!(
                bad.parse::<SourceAddresses>().is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn the_list_is_written_with_its_masks() {
        let list: SourceAddresses = "192.0.2.1,10.0.0.0/8".parse().unwrap();
        assert_eq!(list.to_string(), "192.0.2.1/32,10.0.0.0/8");
    }
}
