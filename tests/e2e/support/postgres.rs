//! The PostgreSQL that worlds of this process have their state in, each in a database of its own.

#[path = "../../../src/state/testing/server.rs"]
mod server;

use std::sync::OnceLock;

pub(crate) use self::server::PostgresServer;
use super::skipped;

/// The environment variable with which people who sign in have their state in PostgreSQL.
pub(super) const IN_POSTGRES: &str = "RPROXY_TEST_POSTGRES";

/// The URL of a new database; `None`, and the test is noted as skipped, if PostgreSQL is not installed.
pub(crate) fn database() -> Option<String> {
    static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
    let server = SERVER.get_or_init(own_server).as_ref();
    server.map(PostgresServer::database)
}

/// A server for one test, which may stop it; `None`, and the test is noted as skipped, if PostgreSQL is
/// not installed.
pub(crate) fn own_server() -> Option<PostgresServer> {
    let server = PostgresServer::start();
    if server.is_none() {
        skipped::lacks("PostgreSQL");
    }
    server
}

/// The section of the configuration.
pub(crate) fn section(url: &str) -> String {
    format!("state: {{ url: '{url}' }}")
}
