//! Binds a sign-in at an identity provider to the browser that has opened the link (RFC 9700, 2.1).
//!
//! The `state` of an authorization request comes back with the browser. Without a cookie, an attacker
//! could open a link of their own terminal, and send the address at the provider to another person:
//! this site would then show the code to a browser that has never opened the link.
//!
//! The cookie is derived from the `state`, so nothing is stored here, and any proxy of a cluster can
//! check it. An attacker can compute it, but cannot place it in the browser of another person.

use aws_lc_rs::digest::{SHA256, digest};
use hyper::header::{self, HeaderMap};

use crate::model::text::hex;

/// What the hash is made for, so that it is good for nothing else.
const PURPOSE: &str = "rproxy: the browser that opened the link\n";
/// Hexadecimal digits of the hash in the cookie's name: several sign-ins of one browser do not meet.
const NAME_DIGITS: usize = 16;
/// How long a browser keeps the cookie, in seconds: longer than an authorization is of use.
const MAX_AGE: u32 = 900;
/// It is sent over HTTPS only, not shown to scripts, and not sent with what another site embeds; it is
/// sent when the provider's page leads back here.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// The cookie of one authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrowserCookie {
    name: String,
    value: String,
}

impl BrowserCookie {
    /// The cookie for this `state`.
    pub(super) fn of(state: &str) -> Self {
        let hash = digest(&SHA256, format!("{PURPOSE}{state}").as_bytes());
        let digits = hex(hash.as_ref());
        let (name, value) = digits.split_at_checked(NAME_DIGITS).unwrap_or_default();
        Self {
            // The prefix makes browsers refuse it from other hosts, and without `Secure` (RFC 6265bis).
            name: format!("__Host-rproxy-{name}"),
            value: value.to_owned(),
        }
    }

    /// `Set-Cookie` for the browser that opens the link.
    pub(super) fn set(&self) -> String {
        let Self { name, value } = self;
        format!("{name}={value}; Max-Age={MAX_AGE}; {ATTRIBUTES}")
    }

    /// `Set-Cookie` for the browser that is done.
    pub(super) fn clear(&self) -> String {
        format!("{}=; Max-Age=0; {ATTRIBUTES}", self.name)
    }

    /// Whether a browser has sent it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get_all(header::COOKIE).iter();
        sent.filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(name, value)| name == self.name && value == self.value)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn sent(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_good_for_its_own_state_only() {
        let (one, other) = (BrowserCookie::of("one"), BrowserCookie::of("other"));
        assert_ne!(one.name, other.name);
        let set = one.set();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert!(pair.starts_with("__Host-rproxy-"), "{pair}");
        assert_eq!(
            attributes,
            "Max-Age=900; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert!(!set.contains("one"), "{set}");
        for lines in [
            &[pair][..],
            &[&*format!("a=b; {pair}; c=d")],
            &["a=b", pair],
            &[&*format!("{}=wrong", one.name), pair],
        ] {
            assert!(one.is_in(&sent(lines)), "{lines:?}");
            assert!(!other.is_in(&sent(lines)), "{lines:?}");
        }
        let empty = format!("{}=", one.name);
        let longer = format!("{pair}0");
        let quoted = format!("{}=\"{}\"", one.name, one.value);
        for lines in [
            &[][..],
            &[&*empty],
            &[&*longer],
            &[&*quoted],
            &[&*one.value],
        ] {
            assert!(!one.is_in(&sent(lines)), "{lines:?}");
        }
        assert!(
            one.clear()
                .starts_with(&format!("{}=; Max-Age=0; ", one.name))
        );
    }
}
