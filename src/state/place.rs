//! Where the state is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use postgres::config::{Config, Host, SslMode};
use zeroize::Zeroizing;

use super::error::StateError;
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

/// The address of a database of PostgreSQL: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or
/// `postgres://USER@/DATABASE?host=/DIRECTORY` for a Unix socket. [`fmt::Display`] and [`fmt::Debug`] do
/// not show the password.
#[derive(Clone)]
pub struct PostgresUrl {
    text: Zeroizing<String>,
    config: Config,
}

impl PostgresUrl {
    /// What the crate takes.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

impl FromStr for PostgresUrl {
    type Err = StateError;

    /// Refuses what demands TLS: connections to PostgreSQL are not encrypted, so the server is to be
    /// reached by a Unix socket, or over a network that is protected otherwise.
    fn from_str(text: &str) -> Result<Self, StateError> {
        let refused = |why: &str| Err(StateError::Address(why.to_owned()));
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return refused("it has to begin with postgres://");
        }
        // What the parser says can have a part of the text in it, and that can be the password.
        let Ok(config) = text.parse::<Config>() else {
            return refused(
                "it has to be postgres://USER:PASSWORD@HOST:PORT/DATABASE, with characters other than \
                 letters and digits written as %XX, and options behind \"?\" that rproxy knows",
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
        let text = Zeroizing::new(text.to_owned());
        Ok(Self { text, config })
    }
}

/// Whether they are written in the same way.
impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PostgresUrl {}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, database) = (self.config.get_user(), self.config.get_dbname());
        write!(f, "postgres://{}@", user.unwrap_or_default())?;
        let addresses = self.config.get_hostaddrs();
        let mut directories = Vec::new();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            match host {
                Host::Tcp(name) if place > 0 => write!(f, ",{name}")?,
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(directory) => directories.push(directory),
            }
        }
        if self.config.get_hosts().is_empty() {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            f.write_str(&addresses.join(","))?;
        }
        if let [port] = self.config.get_ports() {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", database.unwrap_or_default())?;
        match directories.first() {
            Some(directory) => write!(f, "?host={}", shown(directory)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shows = |text: &str| text.parse::<PostgresUrl>().unwrap().to_string();
        let url = "postgres://rproxy:s3cret@db.example.com:5433/rproxy";
        assert_eq!(shows(url), "postgres://rproxy@db.example.com:5433/rproxy");
        assert!(!format!("{:?}", url.parse::<PostgresUrl>().unwrap()).contains("s3cret"));
        let socket = "postgresql://rproxy@/rproxy?host=/run/postgresql&password=s3cret";
        assert_eq!(
            shows(socket),
            "postgres://rproxy@/rproxy?host=/run/postgresql"
        );
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for text in [
            "mysql://rproxy:s3cret@db/rproxy",
            "postgres://rproxy:s3cret@db/rproxy?unknown=1",
            "postgres://rproxy:s3cret@db/rproxy?sslmode=require",
            "postgres://rproxy:s3cret@db",
            "postgres://rproxy:s3cret@/rproxy",
            "postgres://rproxy:s3cret@db:s3cret/rproxy",
        ] {
            let refused = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(!refused.contains("s3cret"), "{text}: {refused}");
        }
    }
}
