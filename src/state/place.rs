//! Where the state is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use postgres::config::{Config, Host, SslMode};

use super::error::StateError;
use crate::model::text::path as shown;
use crate::model::{PostgresUrl, percent_decoded};

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL.
    Postgres(PostgresUrl),
}

/// As it is shown: without a password.
impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => shown(path).fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Whether a database is made if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// A file is made.
    Make,
    /// That is an error.
    Refuse,
}

/// How connections to a server of PostgreSQL are protected: `sslmode`, as PostgreSQL's manual describes it
/// (section 34.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    /// Not at all.
    Disable,
    /// With TLS if the server has it, whatever its certificate is.
    Prefer,
    /// With TLS, whatever the server's certificate is.
    Require,
    /// With TLS; the server's certificate is signed by a known CA.
    VerifyCa,
    /// The same, and the certificate is for the host of the URL.
    VerifyFull,
}

impl TlsMode {
    const ALL: [Self; 5] = [
        Self::Disable,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// What an attacker on the way to the server can do.
    const fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Disable | Self::Prefer => Some(
                "who can read or change what is sent to the server has all that is in the state",
            ),
            Self::Require => Some("any server that is reached under this address is trusted"),
            Self::VerifyCa => Some(
                "any server with a certificate of the same CA is trusted, whatever its name is",
            ),
            Self::VerifyFull => None,
        }
    }
}

/// The address of a database of PostgreSQL, taken apart.
#[derive(Clone, Debug)]
pub(super) struct PostgresAddress {
    /// What the crate takes, with the password.
    pub(super) config: Config,
    /// How connections are protected.
    pub(super) tls: TlsMode,
    /// The file with the certificates of the CAs; `None` for those of the system.
    pub(super) roots: Option<PathBuf>,
}

impl PostgresAddress {
    /// Takes it apart.
    ///
    /// # Errors
    /// [`StateError::Address`], which says what is wrong, without the password.
    pub(super) fn of(url: &PostgresUrl) -> Result<Self, StateError> {
        let (plain, mode, roots) = without_tls(url.shown())?;
        let Ok(mut config) = plain.parse::<Config>() else {
            return refused(
                "it has to be postgresql://USER@HOST:PORT/DATABASE, with characters other than \
                 letters and digits written as %XX, and options behind \"?\" that rproxy knows",
            );
        };
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return refused("it names no host: for a Unix socket, end it with ?host=/DIRECTORY");
        }
        if config.get_user().is_none() || config.get_dbname().is_none() {
            return refused("it has to name a user and a database");
        }
        let tls = match (mode, &roots) {
            _ if has_only_sockets(&config) => TlsMode::Disable,
            // As libpq does: the file is there to be used.
            (Some(TlsMode::Require), Some(_)) => TlsMode::VerifyCa,
            (Some(mode), _) => mode,
            (None, None) if is_local(&config) => TlsMode::Disable,
            (None, _) => TlsMode::VerifyFull,
        };
        let is_unused = tls < TlsMode::VerifyCa && roots.is_some();
        if is_unused && !has_only_sockets(&config) {
            return refused("sslrootcert is of no use without sslmode=verify-full or verify-ca");
        }
        config.ssl_mode(match tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        if let Some(password) = url.password() {
            config.password(password);
        }
        Ok(Self { config, tls, roots })
    }
}

/// Checks the address of a database of PostgreSQL. Nothing is connected. Gives what is to be said about
/// it, if connections to another machine are protected by less than `sslmode=verify-full`, which is also
/// what they are protected by if nothing is said.
///
/// # Errors
/// [`StateError::Address`], if a part is missing or unknown.
pub fn check_address(url: &PostgresUrl) -> Result<Option<String>, StateError> {
    let PostgresAddress { config, tls, .. } = PostgresAddress::of(url)?;
    let weakness = tls.weakness().filter(|_| !is_local(&config));
    Ok(weakness.map(|what| {
        let mode = tls.name();
        format!(
            "with sslmode={mode}, {what}: use sslmode=verify-full, with sslrootcert=FILE if the \
             server's CA is not one of the system's"
        )
    }))
}

/// The URL without the options about TLS, which the crate does not know, and these.
fn without_tls(url: &str) -> Result<(String, Option<TlsMode>, Option<PathBuf>), StateError> {
    let (mut mode, mut roots) = (None, None);
    let Some((before, options)) = url.split_once('?') else {
        return Ok((url.to_owned(), mode, roots));
    };
    let mut others = Vec::new();
    for option in options.split('&') {
        match option.split_once('=') {
            Some(("sslmode", value)) => mode = Some(tls_mode(value)?),
            // libpq's word for the CAs of the system.
            Some(("sslrootcert", "system")) => {}
            Some(("sslrootcert", value)) => roots = Some(root_file(value)?),
            _ => others.push(option),
        }
    }
    let others = others.join("&");
    let question = if others.is_empty() { "" } else { "?" };
    Ok((format!("{before}{question}{others}"), mode, roots))
}

fn tls_mode(value: &str) -> Result<TlsMode, StateError> {
    let found = TlsMode::ALL.into_iter().find(|mode| mode.name() == value);
    found.map_or_else(
        || refused("sslmode is verify-full, verify-ca, require, prefer or disable"),
        Ok,
    )
}

fn root_file(value: &str) -> Result<PathBuf, StateError> {
    let path = percent_decoded(value).map(|path| PathBuf::from(path.as_str()));
    match path.filter(|path| path.is_absolute()) {
        Some(path) => Ok(path),
        None => refused(
            "sslrootcert is an absolute path, with characters other than letters, digits and \"/\" \
             written as %XX, or the word \"system\"",
        ),
    }
}

/// Whether it is a server of this machine that no address leads to.
fn has_only_sockets(config: &Config) -> bool {
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_socket)
}

/// Whether what is sent stays on this machine.
fn is_local(config: &Config) -> bool {
    let is_loopback = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    };
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(is_loopback),
        addresses => addresses.iter().all(IpAddr::is_loopback),
    }
}

fn refused<T>(why: &str) -> Result<T, StateError> {
    Err(StateError::Address(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PostgresUrl {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let place = StatePlace::Postgres(url("postgresql://rproxy:s3cret@localhost:5433/rproxy"));
        assert_eq!(
            place.to_string(),
            "postgresql://rproxy@localhost:5433/rproxy"
        );
        assert!(!format!("{place:?}").contains("s3cret"));
    }

    #[test]
    fn the_password_reaches_the_connection() {
        let address = PostgresAddress::of(&url("postgresql://rproxy:s3%20cret@localhost/rproxy"));
        assert_eq!(
            address.unwrap().config.get_password(),
            Some(&b"s3 cret"[..])
        );
    }

    /// How connections are protected, and by which CAs.
    fn protected(text: &str) -> (TlsMode, Option<PathBuf>) {
        let address = PostgresAddress::of(&url(text)).unwrap();
        (address.tls, address.roots)
    }

    #[test]
    fn a_connection_to_another_machine_is_verified_unless_it_is_said_otherwise() {
        let file = |path: &str| Some(PathBuf::from(path));
        for (text, mode, roots) in [
            ("postgresql://u@localhost/d", TlsMode::Disable, None),
            ("postgresql://u@127.0.0.1,[::1]/d", TlsMode::Disable, None),
            ("postgresql://u@/d?host=/run/pg", TlsMode::Disable, None),
            (
                "postgresql://u@/d?host=/run/pg&sslmode=verify-full",
                TlsMode::Disable,
                None,
            ),
            ("postgresql://u@db/d", TlsMode::VerifyFull, None),
            ("postgresql://u@localhost,db/d", TlsMode::VerifyFull, None),
            (
                "postgresql://u@db/d?sslrootcert=system",
                TlsMode::VerifyFull,
                None,
            ),
            (
                "postgresql://u@localhost/d?sslmode=verify-full",
                TlsMode::VerifyFull,
                None,
            ),
            (
                "postgresql://u@localhost/d?sslrootcert=/ca",
                TlsMode::VerifyFull,
                file("/ca"),
            ),
            (
                "postgresql://u@db/d?sslmode=require&sslrootcert=%2Fetc%2Fmy%20ca.pem",
                TlsMode::VerifyCa,
                file("/etc/my ca.pem"),
            ),
            ("postgresql://u@db/d?sslmode=prefer", TlsMode::Prefer, None),
            (
                "postgresql://u@db/d?sslmode=disable",
                TlsMode::Disable,
                None,
            ),
        ] {
            assert_eq!(protected(text), (mode, roots), "{text}");
        }
    }

    #[test]
    fn whatever_protects_a_connection_to_another_machine_less_is_told() {
        let told = |text: &str| check_address(&url(text)).unwrap();
        for quiet in [
            "postgresql://rproxy:s3cret@localhost/rproxy",
            "postgresql://rproxy@127.0.0.1:5432,[::1]/rproxy?sslmode=disable",
            "postgresql://rproxy@/rproxy?host=/run/postgresql",
            "postgresql://rproxy@db.example.com/rproxy",
            "postgresql://rproxy@db.example.com/rproxy?sslmode=verify-full",
            "postgresql://rproxy@db.example.com/rproxy?sslmode=verify-full&sslrootcert=/ca.pem",
        ] {
            assert_eq!(told(quiet), None, "{quiet}");
        }
        for mode in ["disable", "prefer", "require", "verify-ca"] {
            let text = format!("postgresql://rproxy:s3cret@db/rproxy?sslmode={mode}");
            let said = told(&text).unwrap();
            assert!(said.contains(&format!("sslmode={mode}, ")), "{said}");
            assert!(said.contains("sslmode=verify-full"), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for text in [
            "postgresql://rproxy:s3cret@db/rproxy?unknown=1",
            "postgresql://rproxy:s3cret@db/rproxy?sslmode=allow",
            "postgresql://rproxy:s3cret@db/rproxy?sslmode=verify_full",
            "postgresql://rproxy:s3cret@db/rproxy?sslrootcert=ca.pem",
            "postgresql://rproxy:s3cret@db/rproxy?sslrootcert=%2",
            "postgresql://rproxy:s3cret@db/rproxy?sslmode=disable&sslrootcert=/ca.pem",
            "postgresql://rproxy:s3cret@localhost",
            "postgresql://rproxy:s3cret@/rproxy",
        ] {
            let refused = check_address(&url(text)).unwrap_err().to_string();
            assert!(!refused.contains("s3cret"), "{text}: {refused}");
        }
    }
}
