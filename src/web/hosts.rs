//! The names under which browsers may ask for this proxy.
//!
//! A page of an attacker can have its own name lead to this proxy (DNS rebinding): to a browser, that page and
//! the proxy are then one site. So a request has to name the proxy by a name of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::connection::ServedConnection;
use super::tls;

/// The proxy's own names. Those of its certificate are its own too, and addresses: no attacker's page has an
/// address as its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHosts(BTreeSet<String>);

impl OwnHosts {
    /// These names, and that of the machine itself.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let own = names.into_iter().map(|name| name.to_ascii_lowercase());
        Self(own.chain(["localhost".to_owned()]).collect())
    }

    /// Whether a host of a URL is one of them.
    pub(super) fn has(&self, host: &str, info: &ServedConnection) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        bare.unwrap_or(&host).parse::<IpAddr>().is_ok()
            || self.0.contains(&host)
            || info
                .certificate
                .as_ref()
                .is_some_and(|certificate| tls::is_named(certificate, &host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_ours_and_other_names_are_not() {
        let own = OwnHosts::new(["Proxy.Example.com".to_owned()]);
        let info = ServedConnection::plain("192.0.2.7:4000".parse().unwrap());
        for (host, is_ours) in [
            ("proxy.example.com", true),
            ("PROXY.example.COM", true),
            ("proxy.example.com.", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("evil.example.com", false),
            ("proxy.example.com.evil.test", false),
            ("127.0.0.1.evil.test", false),
            ("[evil]", false),
            ("", false),
        ] {
            assert_eq!(own.has(host, &info), is_ours, "{host}");
        }
    }
}
