//! Obsolete algorithms for hosts that cannot be updated: SHA-1 and CBC.
//!
//! None of them is ever offered to a client, and none to a host unless its configuration names it
//! ([`ClientConfig::with_legacy`](super::ClientConfig::with_legacy)).

use std::fmt;
use std::str::FromStr;

use super::algorithm::{Cipher, Kex, Mac};
use super::signature::SignatureAlgorithm;

/// An algorithm that must be asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Legacy {
    /// A key exchange.
    Kex(Kex),
    /// A cipher.
    Cipher(Cipher),
    /// A MAC.
    Mac(Mac),
    /// A signature, of the host's key and of the user's.
    Signature(SignatureAlgorithm),
}

/// A name that is none of [`Legacy::all`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a legacy algorithm")]
pub struct NotLegacy;

impl Legacy {
    /// Every one there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let kex = Kex::LEGACY.iter().copied().map(Self::Kex);
        let ciphers = Cipher::LEGACY.iter().copied().map(Self::Cipher);
        let macs = Mac::LEGACY.iter().copied().map(Self::Mac);
        let signatures = SignatureAlgorithm::LEGACY.iter().copied();
        kex.chain(ciphers)
            .chain(macs)
            .chain(signatures.map(Self::Signature))
    }

    /// OpenSSH's name, as on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kex(kex) => kex.name(),
            Self::Cipher(cipher) => cipher.name(),
            Self::Mac(mac) => mac.name(),
            Self::Signature(signature) => signature.name(),
        }
    }

    /// The one that a name on the wire stands for: as [`FromStr`], and the name of `ssh-rsa` for
    /// certificates.
    #[must_use]
    pub(super) fn from_wire(name: &str) -> Option<Self> {
        Self::all().find(|one| match one {
            Self::Signature(signature) => {
                name == signature.name() || name == signature.certificate_name()
            }
            other => name == other.name(),
        })
    }
}

impl FromStr for Legacy {
    type Err = NotLegacy;

    fn from_str(name: &str) -> Result<Self, NotLegacy> {
        Self::all().find(|one| one.name() == name).ok_or(NotLegacy)
    }
}

impl fmt::Display for Legacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Algorithms, ClientConfig, ServerConfig};

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        assert_eq!(Legacy::all().count(), 7);
        for one in Legacy::all() {
            assert_eq!(one.name().parse(), Ok(one));
            assert_eq!(Legacy::from_wire(one.name()), Some(one));
        }
        for name in ["aes128-ctr", "3des-cbc", "ssh-dss", "rsa-sha2-256", ""] {
            assert_eq!(name.parse::<Legacy>(), Err(NotLegacy), "{name}");
        }
        let certificate = "ssh-rsa-cert-v01@openssh.com";
        assert!(certificate.parse::<Legacy>().is_err());
        assert_eq!(Legacy::from_wire(certificate), "ssh-rsa".parse().ok());
    }

    #[test]
    fn nobody_is_offered_them_who_does_not_ask() {
        let server = ServerConfig::new(Vec::new()).algorithms;
        let client = ClientConfig::default();
        for algorithms in [&server, &client.algorithms, &Algorithms::default()] {
            let kex = algorithms.kex.iter().map(|one| one.name());
            let ciphers = algorithms.ciphers.iter().map(|one| one.name());
            let macs = algorithms.macs.iter().map(|one| one.name());
            for name in kex.chain(ciphers).chain(macs) {
                assert_eq!(Legacy::from_wire(name), None, "{name}");
            }
        }
        for name in &client.host_key_algorithms {
            assert_eq!(Legacy::from_wire(name), None, "{name}");
        }
        assert!(!client.signs_with_sha1);
    }

    #[test]
    fn they_come_last_and_certificates_before_plain_keys() {
        let all: Vec<Legacy> = Legacy::all().collect();
        let config = ClientConfig::default().with_legacy(&all);
        let usual = ClientConfig::default();
        assert!(config.algorithms.kex.starts_with(&usual.algorithms.kex));
        assert!(
            config
                .algorithms
                .ciphers
                .starts_with(&usual.algorithms.ciphers)
        );
        assert!(config.algorithms.macs.starts_with(&usual.algorithms.macs));
        assert!(config.algorithms.macs.ends_with(Mac::LEGACY));
        let certificates = usual.host_key_algorithms.len() / 2;
        let names = config.host_key_algorithms;
        assert_eq!(names[certificates], "ssh-rsa-cert-v01@openssh.com");
        assert_eq!(names.last().map(String::as_str), Some("ssh-rsa"));
        assert_eq!(names.len(), usual.host_key_algorithms.len() + 2);
        assert!(config.signs_with_sha1);
    }

    #[test]
    fn naming_one_twice_is_naming_it_once() {
        let twice = [Legacy::Kex(Kex::DiffieHellmanGroup14Sha1); 2];
        let config = ClientConfig::default().with_legacy(&twice);
        assert_eq!(config.algorithms.kex.len(), Kex::ALL.len() + 1);
    }
}
