//! For tests: states in both databases.

mod own;
pub(crate) mod server;
pub(crate) mod statements;

use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use uuid::Uuid;

pub(crate) use self::own::{own_state, state_at};
use self::server::{NOBODY, PostgresServer, is_root};
use super::db::Database;
use super::place::IfMissing;
use super::{Heartbeat, JoinedNode, State, StatePlace, Token};
use crate::model::{NodeId, TunnelRule};
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};
use crate::sys::{fs, skipped};

/// The time of the tests, in seconds since the epoch.
pub(crate) const NOW: u64 = 1_800_000_000;

/// The server that all tests of this process share; `None` if PostgreSQL is not installed.
fn shared_server() -> Option<&'static PostgresServer> {
    static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start).as_ref()
}

/// Runs a test with a place in each database where there is no state yet. If PostgreSQL is not installed,
/// that half of the test is skipped.
pub(crate) fn on_both_places(test: impl Fn(&StatePlace)) {
    let directory = fs::private_tempdir();
    test(&StatePlace::Sqlite(directory.path().join("state.db")));
    match shared_server() {
        Some(server) => test(&StatePlace::Postgres(server.database().parse().unwrap())),
        None => skipped::lacks("PostgreSQL"),
    }
}

/// Runs a test with an empty state in each database.
pub(crate) fn on_both(test: impl Fn(&State)) {
    on_both_places(|place| test(&State::open(place, Clock::Fixed(NOW)).unwrap()));
}

/// Makes what a version of the schema has left in a database: `tests/data/state` has it as SQL.
pub(crate) fn write_as(version: u64, place: &StatePlace) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state");
    let written = directory.join(format!("{version}.sql"));
    let written = std::fs::read_to_string(written).unwrap();
    let database = Database::open(place, IfMissing::Make).unwrap();
    database.change_schema(|tx| tx.batch(&written)).unwrap();
}

/// A token for any names.
pub(crate) fn token(hash: &str, uses: u64, expires: u64) -> Token {
    Token {
        id: Uuid::now_v7(),
        hash: hash.to_owned(),
        names: Vec::new(),
        labels: vec!["env=prod".parse().unwrap()],
        tunnel: TunnelRule::Allowed,
        uses,
        created: NOW,
        expires,
        created_by: "root".to_owned(),
    }
}

/// A host that joins under this name, with a key of its own.
pub(crate) fn node(name: &str) -> JoinedNode {
    let id = NodeId::new();
    JoinedNode {
        id,
        name: name.to_owned(),
        names: vec![name.to_owned()],
        key: format!("ssh-ed25519 {id}"),
        fingerprint: format!("SHA256:{id}"),
        token: Uuid::nil(),
        forced_labels: vec!["env=prod".parse().unwrap()],
        labels: vec!["env=prod".parse().unwrap(), "role=db".parse().unwrap()],
        tunnel: TunnelRule::Allowed,
        address: "10.0.0.5".to_owned(),
        port: 22,
        joined: NOW,
        certificate: None,
        lock: None,
        heartbeat: Some(Heartbeat {
            at: NOW,
            ..Heartbeat::default()
        }),
    }
}

impl PostgresServer {
    /// Has the server start again with these options on its command line.
    pub(crate) fn start_again_with(&self, options: &str) {
        self.give("options", options.as_bytes());
        self.tell("stop");
        self.tell("start");
    }

    /// Writes a file that the server can read and others cannot; gives its path.
    pub(crate) fn give(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.join(name);
        write_whole(&path, bytes, PRIVATE_FILE, Replace::Allow).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }
}
