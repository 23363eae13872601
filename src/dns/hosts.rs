//! The hosts file (hosts(5)): addresses by name, all of both families, as `getaddrinfo` has them.

use std::collections::HashMap;
use std::net::IpAddr;

/// What a hosts file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    names: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the text of one. Lines that are none are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
                continue;
            };
            for name in words {
                let addresses = hosts.names.entry(folded(name)).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        hosts
    }

    /// The addresses of a name, in the order of the file; none for a name that it does not have.
    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        self.names.get(&folded(name)).map_or(&[], Vec::as_slice)
    }
}

fn folded(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_all_its_addresses_of_both_families() {
        let hosts = Hosts::parse(
            "# a comment\n\n127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # another\n\
             10.0.0.5 DB1.internal db1\n10.0.0.6 db1\nfd00::5 db1.internal\n10.0.0.5 db1\n\
             no-address x\n10.0.0.7\nfe80::1%eth0 zoned\n",
        );
        let addresses = |name| {
            let addresses = hosts.addresses(name).iter();
            addresses.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(addresses("db1.INTERNAL."), ["10.0.0.5", "fd00::5"]);
        assert_eq!(addresses("db1"), ["10.0.0.5", "10.0.0.6"]);
        for none in ["x", "zoned", "db", "", "10.0.0.7"] {
            assert!(addresses(none).is_empty(), "{none}");
        }
    }
}
