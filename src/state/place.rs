//! Where the state is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use postgres::config::{Config, Host, SslMode};

use super::error::StateError;
use crate::model::PostgresUrl;
use crate::model::text::path as shown;

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

/// Whether a database of PostgreSQL can be used under this address. Nothing is connected.
///
/// # Errors
/// [`StateError::Address`], if a part is missing or unknown, if TLS is demanded, or if the server is
/// on another machine and `sslmode=disable` is not written out: connections are not encrypted, so the
/// server is to be reached by a Unix socket or over a network that is protected otherwise.
pub fn check_address(url: &PostgresUrl) -> Result<(), StateError> {
    let config = connection(url)?;
    if config.get_ssl_mode() == SslMode::Disable || is_local(&config) {
        return Ok(());
    }
    refused(
        "connections to PostgreSQL are not encrypted: end it with ?sslmode=disable if the network to \
         the server is protected, or use a Unix socket (?host=/DIRECTORY)",
    )
}

/// What the crate takes, with the password.
pub(super) fn connection(url: &PostgresUrl) -> Result<Config, StateError> {
    let Ok(mut config) = url.shown().parse::<Config>() else {
        return refused(
            "it has to be postgresql://USER@HOST:PORT/DATABASE, with characters other than letters \
             and digits written as %XX, and options behind \"?\" that rproxy knows",
        );
    };
    if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        return refused(
            "sslmode demands TLS, which rproxy does not use with PostgreSQL: use a Unix socket \
             (?host=/DIRECTORY) or a protected network, and sslmode=disable",
        );
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return refused("it names no host: for a Unix socket, end it with ?host=/DIRECTORY");
    }
    if config.get_user().is_none() || config.get_dbname().is_none() {
        return refused("it has to name a user and a database");
    }
    if let Some(password) = url.password() {
        config.password(password);
    }
    Ok(config)
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
        let config = connection(&url("postgresql://rproxy:s3%20cret@localhost/rproxy")).unwrap();
        assert_eq!(config.get_password(), Some(&b"s3 cret"[..]));
    }

    #[test]
    fn an_address_on_this_machine_or_with_a_word_about_tls_is_good() {
        for text in [
            "postgresql://rproxy:s3cret@localhost/rproxy",
            "postgresql://rproxy@127.0.0.1:5432,[::1]/rproxy",
            "postgresql://rproxy@/rproxy?host=/run/postgresql",
            "postgresql://rproxy@db.example.com/rproxy?sslmode=disable",
        ] {
            let checked = check_address(&url(text));
            assert!(checked.is_ok(), "{text}: {checked:?}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for text in [
            "postgresql://rproxy:s3cret@db/rproxy?unknown=1",
            "postgresql://rproxy:s3cret@db/rproxy?sslmode=require",
            "postgresql://rproxy:s3cret@localhost/rproxy?sslmode=require",
            "postgresql://rproxy:s3cret@db/rproxy",
            "postgresql://rproxy:s3cret@localhost,db/rproxy",
            "postgresql://rproxy:s3cret@localhost",
            "postgresql://rproxy:s3cret@/rproxy",
        ] {
            let refused = check_address(&url(text)).unwrap_err().to_string();
            assert!(!refused.contains("s3cret"), "{text}: {refused}");
        }
    }
}
