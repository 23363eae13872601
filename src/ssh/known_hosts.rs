//! Remembers the names in the certificates that hosts presented last: for users whose ssh expects
//! such a name (`HostKeyAlias`) and gets a certificate before the host is asked.
//!
//! Only names from verified certificates are remembered. What was shown from memory is compared
//! with the certificate that the host presents this time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ssh_key::public::KeyData;

use crate::cert::VerifiedHost;
use crate::model::{HostAddress, HostPrincipal};

/// How many hosts are remembered; the one that was seen least recently is dropped first.
const MAX_HOSTS: usize = 4096;
/// How many names of one host are remembered.
const MAX_NAMES: usize = 16;

/// What is remembered of all hosts.
#[derive(Debug, Default)]
pub(crate) struct KnownHostKeys(Mutex<Hosts>);

#[derive(Debug, Default)]
struct Hosts {
    hosts: BTreeMap<HostAddress, RememberedHost>,
    seen: u64,
}

#[derive(Debug)]
struct RememberedHost {
    key: KeyData,
    names: Vec<HostPrincipal>,
    /// Several machines answer at this address: only the names that all of them have are used.
    is_several: bool,
    seen: u64,
}

impl KnownHostKeys {
    /// The names of the host at an address.
    pub(crate) fn names_at(&self, address: HostAddress) -> Vec<HostPrincipal> {
        let known = self.lock();
        let host = known.hosts.get(&address);
        host.map(|host| host.names.clone()).unwrap_or_default()
    }

    /// Remembers the names of a host that presented a verified key.
    pub(crate) fn note(&self, address: HostAddress, host: &VerifiedHost) {
        match host.certificate() {
            Some(certificate) => {
                let principals = certificate.valid_principals();
                self.lock()
                    .note(address, certificate.public_key(), principals);
            }
            None => self.forget(address),
        }
    }

    /// Forgets the host at this address.
    pub(crate) fn forget(&self, address: HostAddress) {
        self.lock().hosts.remove(&address);
    }

    /// A panic in another thread cannot leave the map half changed: no method calls other code
    /// while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hosts {
    fn note(&mut self, address: HostAddress, key: &KeyData, principals: &[String]) {
        self.seen += 1;
        let mut names: Vec<HostPrincipal> = principals
            .iter()
            .filter_map(|name| name.parse().ok())
            .take(MAX_NAMES)
            .collect();
        let known = self.hosts.get(&address);
        let is_several = known.is_some_and(|host| host.is_several || host.key != *key);
        if let Some(known) = known.filter(|_| is_several) {
            names.retain(|name| known.names.contains(name));
        }
        if known.is_none() && self.hosts.len() >= MAX_HOSTS {
            let oldest = self.hosts.iter().min_by_key(|(_, host)| host.seen);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.hosts.remove(&oldest);
            }
        }
        let host = RememberedHost {
            key: key.clone(),
            names,
            is_several,
            seen: self.seen,
        };
        self.hosts.insert(address, host);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ssh_key::public::Ed25519PublicKey;

    use super::*;

    fn key(number: u8) -> KeyData {
        KeyData::Ed25519(Ed25519PublicKey([number; 32]))
    }

    fn at(port: u16) -> HostAddress {
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    fn seen(known: &KnownHostKeys, port: u16, number: u8, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        known.lock().note(at(port), &key(number), &names);
        let names = known.names_at(at(port));
        names.iter().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn a_host_is_called_what_its_last_certificate_said() {
        let known = KnownHostKeys::default();
        assert!(known.names_at(at(22)).is_empty());
        assert_eq!(seen(&known, 22, 1, &["db1", "db"]), ["db1", "db"]);
        assert_eq!(seen(&known, 22, 1, &["db1", "*.x", "new"]), ["db1", "new"]);
        assert!(known.names_at(at(2222)).is_empty());
        known.forget(at(22));
        assert!(known.names_at(at(22)).is_empty());
    }

    #[test]
    fn machines_that_share_an_address_are_called_what_all_are() {
        let known = KnownHostKeys::default();
        seen(&known, 22, 1, &["web", "web1"]);
        assert_eq!(seen(&known, 22, 2, &["web", "web2"]), ["web"]);
        assert_eq!(seen(&known, 22, 2, &["web", "web2"]), ["web"]);
        assert_eq!(seen(&known, 22, 1, &["web1", "web"]), ["web"]);
    }

    #[test]
    fn no_more_is_remembered_than_may_be() {
        let known = KnownHostKeys::default();
        let names: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(seen(&known, 1, 1, &names).len(), MAX_NAMES);
        for port in 2..6000 {
            seen(&known, port, 1, &["db1"]);
        }
        assert_eq!(known.lock().hosts.len(), MAX_HOSTS);
        assert!(known.names_at(at(1)).is_empty(), "the oldest went first");
        assert!(!known.names_at(at(5999)).is_empty());
    }
}
