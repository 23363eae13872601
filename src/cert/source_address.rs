//! The critical option `source-address`: a list of CIDR networks, read as sshd reads it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

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
pub struct SourceAddresses(Vec<Network>);

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
            let has_it =
                |outer: &Network| outer.length <= inner.length && outer.contains(inner.address);
            others.0.iter().any(has_it)
        })
    }

    /// The addresses that stand alone, in networks of one.
    pub fn single_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let alone = |network: &&Network| network.length == width(network.address);
        self.0.iter().filter(alone).map(|network| network.address)
    }
}

impl FromStr for SourceAddresses {
    type Err = SourceAddressError;

    /// A comma-separated list. One bad entry spoils the whole list, as in sshd's
    /// `addr_match_cidr_list`: a typing error must not widen or narrow anything in silence.
    fn from_str(list: &str) -> Result<Self, SourceAddressError> {
        list.split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for SourceAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, network) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            write!(f, "{separator}{}/{}", network.address, network.length)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    length: u32,
}

impl Network {
    fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                let host_bits = width(peer) - self.length;
                same_after_shift(bits(self.address), bits(peer), host_bits)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = SourceAddressError;

    fn from_str(entry: &str) -> Result<Self, SourceAddressError> {
        if entry.is_empty() {
            return Err(SourceAddressError::Empty);
        }
        let bad = || SourceAddressError::NotANetwork(entry.to_owned());
        let (address, length) = match entry.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().ok().ok_or_else(bad)?;
        let length = match length {
            None => width(address),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().ok_or_else(bad)?
            }
            Some(_) => return Err(bad()),
        };
        let host_bits = width(address).checked_sub(length).ok_or_else(bad)?;
        let network = bits(address).checked_shr(host_bits).unwrap_or(0);
        if network.checked_shl(host_bits).unwrap_or(0) != bits(address) {
            return Err(SourceAddressError::HostBits(entry.to_owned()));
        }
        Ok(Self { address, length })
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn same_after_shift(a: u128, b: u128, host_bits: u32) -> bool {
    a.checked_shr(host_bits).unwrap_or(0) == b.checked_shr(host_bits).unwrap_or(0)
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
