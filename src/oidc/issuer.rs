//! The name of a provider: the URL below which its metadata is.

use std::fmt;
use std::str::FromStr;

use openidconnect::url::{Host, Url};
use thiserror::Error;

use crate::model::text::is_printable;

/// Longest issuer, in bytes.
const MAX: usize = 512;

/// The issuer of a provider (OpenID Connect Discovery 1.0, section 3): an `https` URL without user,
/// query and fragment. `http` is for addresses of this machine only. It is compared as it was written:
/// `https://id.example.com` and `https://id.example.com/` are two issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl(String);

/// Why a text is no issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssuerUrlError {
    /// It is no URL, has characters that cannot be seen, or is too long.
    #[error("expected a URL of up to {MAX} bytes, such as https://id.example.com")]
    NoUrl,
    /// Another scheme than `https`, or `http` with another host than an address of this machine.
    #[error("expected https:// (http:// only with an address of this machine, as 127.0.0.1)")]
    NotHttps,
    /// There is a user or a password in it.
    #[error("there is a user or a password in it: an issuer has none")]
    User,
    /// There is a query or a fragment in it.
    #[error("there is a \"?\" or a \"#\" in it: an issuer has neither")]
    QueryOrFragment,
}

impl IssuerUrl {
    /// The text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the provider runs on this machine, without TLS.
    pub(super) fn is_plain(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.scheme() == "http")
    }
}

/// Whether requests to this URL cannot be read on the way: `https`, or `http` with an address of this
/// machine.
pub(super) fn is_protected(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

impl FromStr for IssuerUrl {
    type Err = IssuerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX || !is_printable(text) || text.contains(' ') {
            return Err(IssuerUrlError::NoUrl);
        }
        let url = Url::parse(text).or(Err(IssuerUrlError::NoUrl))?;
        if !is_protected(&url) {
            return Err(IssuerUrlError::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(IssuerUrlError::User);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(IssuerUrlError::QueryOrFragment);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_kept_as_it_was_written() {
        for text in [
            "https://id.example.com",
            "https://id.example.com/",
            "https://ID.example.com:8443/realms/x",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/op",
        ] {
            let issuer: IssuerUrl = text.parse().unwrap();
            assert_eq!(issuer.as_str(), text);
            assert_eq!(issuer.is_plain(), text.starts_with("http:"));
        }
    }

    #[test]
    fn what_is_no_issuer_is_refused_with_the_reason() {
        use IssuerUrlError::{NoUrl, NotHttps, QueryOrFragment, User};
        let long = format!("https://id.example.com/{}", "a".repeat(MAX));
        for (text, error) in [
            ("", NoUrl),
            ("id.example.com", NoUrl),
            ("https://", NoUrl),
            ("https://id.example.com/\u{202e}", NoUrl),
            ("https://id.example.com/ x", NoUrl),
            (long.as_str(), NoUrl),
            ("http://id.example.com", NotHttps),
            ("http://10.0.0.1", NotHttps),
            ("http://localhost", NotHttps),
            ("http://127.0.0.1.example.com", NotHttps),
            ("file:///etc/passwd", NotHttps),
            ("https://a@id.example.com", User),
            ("https://a:b@id.example.com", User),
            ("https://:b@id.example.com", User),
            ("https://id.example.com?x", QueryOrFragment),
            ("https://id.example.com#x", QueryOrFragment),
        ] {
            assert_eq!(text.parse::<IssuerUrl>(), Err(error), "{text:?}");
        }
    }
}
