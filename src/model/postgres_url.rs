//! The URL of a PostgreSQL database, with its password apart.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

/// What every such URL begins with.
const SCHEME: &str = "postgresql://";

/// A URL as PostgreSQL's manual describes it (section 34.1.1.2, "Connection URIs"), as in
/// `postgresql://rproxy@db.example.com:5432/rproxy`.
///
/// Its password is kept apart, is wiped when it is dropped, and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    shown: String,
    password: Option<Zeroizing<String>>,
}

impl PostgresUrl {
    /// The URL without the password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The password, decoded.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_ref().map(|password| password.as_str())
    }

    /// The same URL with this password.
    #[must_use]
    pub fn with_password(self, password: Zeroizing<String>) -> Self {
        Self {
            password: Some(password),
            ..self
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.shown).finish()
    }
}

/// Why a text is not such a URL. No message repeats the text, because a password can be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PostgresUrlError {
    /// It begins in another way.
    #[error("expected a URL that begins with {SCHEME}")]
    Scheme,
    /// It has a space or a character outside of ASCII.
    #[error("a URL has no spaces and only ASCII characters; write others as %20")]
    Characters,
    /// There are two `@`, or a percent sign without two digits.
    #[error("in a user name or a password, write '@' as %40, '/' as %2F and '%' as %25")]
    Escape,
    /// The port is no number from 1 to 65535.
    #[error(
        "expected a port from 1 to 65535 after the colon of the host; in a password, write '/' as \
         %2F and '?' as %3F"
    )]
    Port,
    /// The password is a parameter.
    #[error("the password stands before the '@', or in the file that state.password_file names")]
    PasswordParameter,
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or(PostgresUrlError::Scheme)?;
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PostgresUrlError::Characters);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        if tail.contains('@') || credentials.is_some_and(|text| text.contains('@')) {
            return Err(PostgresUrlError::Escape);
        }
        if !hosts.split(',').all(has_good_port) {
            return Err(PostgresUrlError::Port);
        }
        let query = tail.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(|one| one.starts_with("password=")) {
            return Err(PostgresUrlError::PasswordParameter);
        }
        let (user, password) = match credentials.map(|text| text.split_once(':')) {
            Some(Some((user, password))) => (Some(user), Some(decoded(password)?)),
            Some(None) => (credentials, None),
            None => (None, None),
        };
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        Ok(Self {
            shown: format!("{SCHEME}{user}{hosts}{tail}"),
            password: password.filter(|password| !password.is_empty()),
        })
    }
}

/// Whether a host has no port, or one that can be.
fn has_good_port(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    match after_address.split_once(':') {
        None => true,
        Some((_, digits)) => {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port != 0)
        }
    }
}

fn decoded(text: &str) -> Result<Zeroizing<String>, PostgresUrlError> {
    percent_decoded(text).ok_or(PostgresUrlError::Escape)
}

/// The text with its percent signs resolved (RFC 3986 section 2.1); `None` if one has no two digits behind
/// it, or the result is no text. It can be a password.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let both = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        bytes.push(both.and_then(|byte| u8::try_from(byte).ok())?);
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PostgresUrl {
        text.parse().unwrap()
    }

    #[test]
    fn the_password_is_apart_and_is_not_shown() {
        let url = parsed("postgresql://rproxy:s%40c%2Fret@db1:5432,db2/state?sslmode=require");
        assert_eq!(url.password(), Some("s@c/ret"));
        let shown = "postgresql://rproxy@db1:5432,db2/state?sslmode=require";
        assert_eq!(url.shown(), shown);
        assert_eq!(url.to_string(), shown);
        assert!(!format!("{url:?}").contains("ret@"), "{url:?}");
        assert_ne!(url, parsed(shown));
        let again = parsed(shown).with_password(Zeroizing::new("s@c/ret".to_owned()));
        assert_eq!(again, url);
    }

    #[test]
    fn hosts_can_be_addresses_and_directories() {
        for text in [
            "postgresql:///rproxy?host=/run/postgresql",
            "postgresql://%2Frun%2Fpostgresql/rproxy",
            "postgresql://rproxy@[2001:db8::5]:5432/rproxy",
            "postgresql://rproxy@10.0.0.5",
        ] {
            assert_eq!(
                (parsed(text).shown(), parsed(text).password()),
                (text, None)
            );
        }
        assert_eq!(parsed("postgresql://a:@h/d").password(), None);
    }

    #[test]
    fn what_is_wrong_is_named_without_the_text() {
        for (text, error) in [
            ("mysql://u:secret@h/d", PostgresUrlError::Scheme),
            ("postgres://u:secret@h/d", PostgresUrlError::Scheme),
            ("", PostgresUrlError::Scheme),
            ("postgresql://u:sec ret@h/d", PostgresUrlError::Characters),
            ("postgresql://u:sécret@h/d", PostgresUrlError::Characters),
            ("postgresql://u:sec@ret@h/d", PostgresUrlError::Escape),
            ("postgresql://u:sec/ret@h/d", PostgresUrlError::Escape),
            ("postgresql://u:sec%ret@h/d", PostgresUrlError::Escape),
            ("postgresql://u:secret%4@h/d", PostgresUrlError::Escape),
            ("postgresql://u:secret%ff@h/d", PostgresUrlError::Escape),
            ("postgresql://h:0/d", PostgresUrlError::Port),
            ("postgresql://[::1]:secret/d", PostgresUrlError::Port),
            (
                "postgresql://u@h/d?password=secret",
                PostgresUrlError::PasswordParameter,
            ),
        ] {
            assert_eq!(text.parse::<PostgresUrl>(), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
