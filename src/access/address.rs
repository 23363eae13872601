//! Which addresses a client may be connected to when no inventory vouches for them.
//!
//! Without this, the proxy would be a way into its own machine and into the metadata service of
//! the cloud that it runs in. Private networks are where fleets live, so they stay open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

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
    /// A service that clouds have at the same address in every network: it gives away the rights of the
    /// machine that asks.
    #[error("{0} is the metadata service of {1}")]
    Metadata(IpAddr, &'static str),
    /// Another entry of the registries of special addresses; its name there.
    #[error("{0} is a special address ({1})")]
    Special(IpAddr, &'static str),
}

/// Says whether a client may be connected to an address that it gave, or that DNS gave for a name
/// outside the inventory: one of the private networks that fleets live in, or one that is reachable from
/// everywhere. Everything that the registries of IANA call special is refused
/// (iana-ipv4-special-registry, iana-ipv6-special-registry, RFC 6890), and so is IPv6 that is not
/// allocated. An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4) counts as that.
///
/// # Errors
/// The kind of address that is refused.
pub fn may_dial(address: IpAddr) -> Result<(), Forbidden> {
    match address {
        IpAddr::V4(v4) => judge_v4(v4, address),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => judge_v4(v4, address),
            None => judge_v6(v6),
        },
    }
}

/// The address that a packet for this one ends up at: IPv4 where IPv6 stands for it.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
    }
}

/// Metadata services outside the link-local networks.
const METADATA_V4: [(Ipv4Addr, &str); 3] = [
    (Ipv4Addr::new(100, 100, 100, 200), "Alibaba Cloud"),
    (Ipv4Addr::new(168, 63, 129, 16), "Azure"),
    (Ipv4Addr::new(192, 0, 0, 192), "Oracle Cloud"),
];

/// The same in the private networks of IPv6, with the bits of the network.
const METADATA_V6: [(Ipv6Addr, u32, &str); 5] = [
    (net6([0xfd00, 0xec2, 0]), 32, "AWS"),
    (net6([0xfd20, 0xce, 0]), 64, "Google Cloud"),
    (net6([0xfd00, 0xc1, 0]), 64, "Oracle Cloud"),
    (net6([0xfd00, 0x42, 0]), 64, "Scaleway"),
    (net6([0xfd00, 0xa9fe, 0xa9fe]), 64, "Akamai"),
];

/// What is special in IPv4, beside what has a name of its own in [`Forbidden`]. Private networks and
/// what carriers share (100.64.0.0/10) are special too, and where hosts are.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 9] = [
    (Ipv4Addr::new(192, 0, 0, 0), 24, "IETF protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
];

/// What is special in IPv6, the same. What is neither here nor private nor in `2000::/3` is not allocated.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 9] = [
    (net6([0x64, 0xff9b, 1]), 48, "NAT64 of a site"),
    (net6([0x100, 0, 0]), 32, "discard-only"),
    // Among them Teredo, benchmarking, AMT, AS112, ORCHID and DRIP.
    (net6([0x2001, 0, 0]), 23, "IETF protocol assignments"),
    (net6([0x2001, 0xdb8, 0]), 32, "documentation"),
    (net6([0x2620, 0x4f, 0x8000]), 48, "AS112"),
    (net6([0x3fff, 0, 0]), 20, "documentation"),
    (net6([0x5f00, 0, 0]), 16, "segment routing"),
    (net6([0xfec0, 0, 0]), 10, "site-local"),
    (net6([0, 0, 0]), 8, "reserved"),
];

/// Where hosts are: everything that is reachable from everywhere, and private networks.
const HOSTS_V6: [(Ipv6Addr, u32); 2] = [(net6([0x2000, 0, 0]), 3), (net6([0xfc00, 0, 0]), 7)];

const fn net6([a, b, c]: [u16; 3]) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

fn judge_v4(v4: Ipv4Addr, address: IpAddr) -> Result<(), Forbidden> {
    match v4.octets() {
        [0, ..] => return Err(Forbidden::Unspecified(address)),
        [127, ..] => return Err(Forbidden::Loopback(address)),
        [169, 254, ..] => return Err(Forbidden::LinkLocal(address)),
        [224..=239, ..] => return Err(Forbidden::Multicast(address)),
        [240..=255, ..] => return Err(Forbidden::Broadcast(address)),
        _ => {}
    }
    if let Some((_, cloud)) = METADATA_V4.iter().find(|(metadata, _)| *metadata == v4) {
        return Err(Forbidden::Metadata(address, cloud));
    }
    let is_in =
        |network: Ipv4Addr, bits: u32| (u32::from(v4) ^ u32::from(network)).leading_zeros() >= bits;
    match SPECIAL_V4.iter().find(|(net, bits, _)| is_in(*net, *bits)) {
        Some((_, _, what)) => Err(Forbidden::Special(address, what)),
        None => Ok(()),
    }
}

fn judge_v6(v6: Ipv6Addr) -> Result<(), Forbidden> {
    let address = IpAddr::V6(v6);
    if v6.is_unspecified() {
        return Err(Forbidden::Unspecified(address));
    } else if v6.is_loopback() {
        return Err(Forbidden::Loopback(address));
    } else if v6.is_unicast_link_local() {
        return Err(Forbidden::LinkLocal(address));
    } else if v6.is_multicast() {
        return Err(Forbidden::Multicast(address));
    }
    let is_in = |network: Ipv6Addr, bits: u32| {
        (u128::from(v6) ^ u128::from(network)).leading_zeros() >= bits
    };
    let metadata = METADATA_V6.iter().find(|(net, bits, _)| is_in(*net, *bits));
    if let Some((_, _, cloud)) = metadata {
        return Err(Forbidden::Metadata(address, cloud));
    }
    if let Some((_, _, what)) = SPECIAL_V6.iter().find(|(net, bits, _)| is_in(*net, *bits)) {
        return Err(Forbidden::Special(address, what));
    }
    match HOSTS_V6.iter().any(|(net, bits)| is_in(*net, *bits)) {
        true => Ok(()),
        false => Err(Forbidden::Special(address, "not allocated")),
    }
}

/// The IPv4 address that an IPv6 address leads to, after the prefixes of RFC 4291 (2.5.5.2),
/// RFC 6052 (`64:ff9b::/96`), RFC 2765 (`::ffff:0:0:0/96`) and RFC 3056 (`2002::/16`).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
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

    /// Each entry of the registries, as of 2026-11, but for the private networks: its first and its last
    /// address.
    #[test]
    fn what_the_registries_call_special_is_out_of_reach() {
        for text in [
            "0.255.255.255",
            "192.0.0.0",
            "192.0.0.9",
            "192.0.0.255",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.255",
            "192.88.99.2",
            "192.175.48.0",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.10",
            "::ffff:192.0.2.1",
            "::ffff:0:127.0.0.1",
            "::10.0.0.5",
            "64:ff9b::c000:201",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::",
            "64:ff9b:1::a00:5",
            "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b:2::1",
            "100::",
            "100::ffff:ffff:ffff:ffff",
            "100:0:0:1::1",
            "2001::",
            "2001:0:53aa:64c:0:7fff:5601:203",
            "2001:1::1",
            "2001:2::1",
            "2001:3::1",
            "2001:4:112::1",
            "2001:10::1",
            "2001:20::1",
            "2001:30::1",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::1",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002:a9fe:a9fe::1",
            "2002:c000:201::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "5f00::1",
            "fec0::1",
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::1",
            "8000::1",
            "fbff::1",
            "fe00::1",
        ] {
            assert!(may_dial(text.parse().unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn metadata_services_are_called_by_their_clouds() {
        for (text, cloud) in [
            ("100.100.100.200", "Alibaba Cloud"),
            ("168.63.129.16", "Azure"),
            ("192.0.0.192", "Oracle Cloud"),
            ("fd00:ec2::254", "AWS"),
            ("fd00:ec2::23", "AWS"),
            ("fd20:ce::254", "Google Cloud"),
            ("fd00:c1::a9fe:a9fe", "Oracle Cloud"),
            ("fd00:42::42", "Scaleway"),
            ("fd00:a9fe:a9fe::1", "Akamai"),
            ("::ffff:168.63.129.16", "Azure"),
            ("64:ff9b::a83f:8110", "Azure"),
            ("2002:6464:64c8::1", "Alibaba Cloud"),
        ] {
            let refused = may_dial(text.parse().unwrap()).unwrap_err();
            assert!(
                matches!(refused, Forbidden::Metadata(_, whose) if whose == cloud),
                "{text}: {refused}"
            );
        }
        for near in [
            "100.100.100.201",
            "168.63.129.17",
            "fd00:ec3::254",
            "fd00::42",
        ] {
            assert_eq!(may_dial(near.parse().unwrap()), Ok(()), "{near}");
        }
    }

    #[test]
    fn what_ipv6_stands_for_is_told() {
        for (text, ends_up_at) in [
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("64:ff9b::a00:5", "10.0.0.5"),
            ("2002:a00:5::1", "10.0.0.5"),
            ("fd00::5", "fd00::5"),
            ("10.0.0.5", "10.0.0.5"),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(plain(address).to_string(), ends_up_at, "{text}");
        }
    }

    #[test]
    fn fleets_are_within_reach() {
        for text in [
            "10.0.0.5",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.254",
            "1.1.1.1",
            "192.0.1.1",
            "198.20.0.1",
            "203.0.114.1",
            "fd00::5",
            "fdff:ffff::1",
            "2001:200::1",
            "2a00:1450::1",
            "2620:4f:8001::1",
            "::ffff:10.0.0.5",
            "64:ff9b::a00:5",
            "2002:a00:5::1",
        ] {
            assert_eq!(may_dial(text.parse().unwrap()), Ok(()), "{text}");
        }
    }
}
