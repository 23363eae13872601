//! One network in CIDR form, as sshd reads the entries of `source-address`: no bit set beyond the
//! mask.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// Why a text is not a network. The caller knows where it stands, and says it in its own words.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IpNetworkError {
    /// Neither an address nor ADDRESS/LENGTH.
    #[error("not an address or a network (ADDRESS/LENGTH)")]
    NotANetwork,
    /// Address bits beyond the mask are set.
    #[error("address bits beyond its mask, expected {masked} or {single}")]
    HostBits {
        /// The network without these bits.
        masked: IpNetwork,
        /// The network of that address alone.
        single: IpNetwork,
    },
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    address: IpAddr,
    length: u32,
}

impl IpNetwork {
    /// The network of this address alone.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        let length = width(address);
        Self { address, length }
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether there is no other address in it.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.length == width(self.address)
    }

    /// Whether an address is in it. No IPv6 network has an IPv4 address in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                masked(address, self.length) == self.address
            }
            _ => false,
        }
    }

    /// Whether all of another network is in it.
    #[must_use]
    pub fn has_within(&self, inner: &Self) -> bool {
        self.length <= inner.length && self.contains(inner.address)
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let bad = IpNetworkError::NotANetwork;
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok().ok_or(bad)?;
        let length = match length {
            None => width(address),
            // `parse` would take a sign.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().ok_or(bad)?
            }
            Some(_) => return Err(bad),
        };
        if length > width(address) {
            return Err(bad);
        }
        let first = masked(address, length);
        if first != address {
            return Err(IpNetworkError::HostBits {
                masked: Self {
                    address: first,
                    length,
                },
                single: Self::single(address),
            });
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with everything after its first `length` bits cleared.
fn masked(address: IpAddr, length: u32) -> IpAddr {
    let host_bits = width(address).saturating_sub(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_with_its_mask() {
        for (text, written) in [
            ("203.0.113.10", "203.0.113.10/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::1", "::1/128"),
        ] {
            let network: IpNetwork = text.parse().unwrap();
            assert_eq!(network.to_string(), written, "{text}");
        }
    }

    #[test]
    fn bits_beyond_the_mask_are_refused_with_what_was_meant() {
        let meant = |text: &str| match text.parse::<IpNetwork>() {
            Err(IpNetworkError::HostBits { masked, single }) => {
                Some((masked.to_string(), single.to_string()))
            }
            _ => None,
        };
        let both = |masked: &str, single: &str| Some((masked.to_owned(), single.to_owned()));
        assert_eq!(meant("10.0.0.1/24"), both("10.0.0.0/24", "10.0.0.1/32"));
        assert_eq!(meant("::1/0"), both("::/0", "::1/128"));
        assert_eq!(meant("10.0.0.0/24"), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/33",
            "::/129",
            "10.*",
            "db1",
            "10.0.0.0/8/8",
            "10.0.0.0/99999999999",
            " 10.0.0.1",
        ] {
            let error = text.parse::<IpNetwork>();
            assert_eq!(error, Err(IpNetworkError::NotANetwork), "{text:?}");
        }
    }
}
