//! The schema, as numbered migrations, and the tables that it has.

use super::db::{Database, Transaction, values};
use super::error::StateError;

/// The migrations, in order: the first makes version 1 of an empty database, and so on. One that has
/// landed is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
];

/// The row of `meta` with the version.
pub(super) const SCHEMA: &str = "schema";
/// The row of `meta` with the version of rproxy that has made the schema; the first ones noted none.
pub(super) const MADE_BY: &str = "schema-made-by";
/// The rows of `meta` that belong to the database and are not copied.
pub(super) const OWN_META: [&str; 2] = [SCHEMA, MADE_BY];

/// The tables and their columns, each after those that it refers to. `meta` is not among them: the version
/// in it belongs to the database.
pub(super) const TABLES: &[(&str, &[&str])] = &[
    ("counters", &["name", "value"]),
    (
        "users",
        &[
            "id",
            "name",
            "folded",
            "roles",
            "logins",
            "created",
            "locked",
            "lock_reason",
            "locked_by",
            "password",
            "totp",
            "totp_step",
            "issuer",
            "subject",
        ],
    ),
    ("recovery_codes", &["user_id", "hash"]),
    (
        "registered_keys",
        &[
            "fingerprint",
            "user_id",
            "line",
            "comment",
            "registered",
            "used",
        ],
    ),
    (
        "authorizations",
        &[
            "id",
            "ticket",
            "state",
            "nonce",
            "verifier",
            "connection",
            "client",
            "source",
            "created",
            "expires",
            "returned",
            "code",
            "issuer",
            "subject",
            "name",
            "roles",
        ],
    ),
    ("invitations", &["hash", "user_id", "created", "expires"]),
    (
        "sign_ins",
        &[
            "id",
            "user_id",
            "fingerprint",
            "token",
            "client",
            "started",
            "expires",
        ],
    ),
    ("sign_in_ends", &["number", "sign_in", "reason", "at"]),
    ("sign_in_sources", &["user_id", "client", "used"]),
    (
        "attempts",
        &["id", "account", "source", "fingerprint", "at"],
    ),
    (
        "issued",
        &[
            "serial",
            "kind",
            "how",
            "key_id",
            "time",
            "principals",
            "valid_after",
            "valid_before",
            "public_key",
            "ca",
            "critical_options",
        ],
    ),
    ("revocations", &["version", "line"]),
    ("marks", &["kind", "authority", "moves"]),
    (
        "tokens",
        &[
            "id",
            "hash",
            "names",
            "labels",
            "tunnel",
            "uses",
            "created",
            "expires",
            "created_by",
        ],
    ),
    (
        "nodes",
        &[
            "id",
            "name",
            "names",
            "host_key",
            "fingerprint",
            "token",
            "forced_labels",
            "labels",
            "tunnel",
            "address",
            "port",
            "joined",
            "certificate",
            "certificate_begins",
            "certificate_expires",
            "certificate_ca",
            "locked",
            "lock_reason",
            "locked_by",
            "heartbeat",
            "report",
            "change",
        ],
    ),
    ("node_names", &["name", "node"]),
    ("node_removals", &["number", "node", "at"]),
    ("tunnels", &["generation", "node", "proxy", "since"]),
    ("proxies", &["id", "address", "proxy_key", "seen"]),
];

/// The version that this program uses.
pub(super) const fn latest() -> u64 {
    MIGRATIONS.len() as u64
}

/// The version that a database has; 0 for an empty one.
pub(super) fn version(transaction: &mut dyn Transaction) -> Result<u64, StateError> {
    if !transaction.has_table("meta")? {
        return Ok(0);
    }
    let sql = "SELECT value FROM meta WHERE name = $1";
    let row = transaction.first(sql, values![SCHEMA])?;
    row.map_or(Ok(0), |row| row.parsed(0))
}

/// The version of rproxy that has made the schema, if it is noted.
fn made_by(transaction: &mut dyn Transaction) -> Result<Option<String>, StateError> {
    let sql = "SELECT value FROM meta WHERE name = $1";
    let row = transaction.first(sql, values![MADE_BY])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Brings a database to the latest version.
pub(super) fn migrate(database: &Database) -> Result<(), StateError> {
    let found = database.read(version)?;
    if found == latest() {
        return Ok(());
    }
    database.change_schema(|transaction| {
        // Another process can have been first.
        let found = version(transaction)?;
        if found > latest() {
            return Err(differs(database, found, made_by(transaction)?));
        }
        let missing = MIGRATIONS.iter().zip(1_u64..);
        for (migration, number) in missing.filter(|(_, number)| *number > found) {
            transaction.batch(migration)?;
            let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            transaction.execute(sql, values![SCHEMA, number.to_string()])?;
            transaction.execute(sql, values![MADE_BY, env!("CARGO_PKG_VERSION")])?;
        }
        Ok(())
    })
}

/// Refuses a database that does not have the latest version.
pub(super) fn require_latest(database: &Database) -> Result<(), StateError> {
    let found = database.read(version)?;
    if found == latest() {
        return Ok(());
    }
    let made_by = match found {
        0 => None,
        _ => database.read(made_by)?,
    };
    Err(differs(database, found, made_by))
}

/// The refusal of a database that has another version than the latest.
fn differs(database: &Database, found: u64, made_by: Option<String>) -> StateError {
    let (place, known) = (database.place().to_owned(), latest());
    match found {
        0 => StateError::Missing { place },
        found if found > known => StateError::Newer {
            place,
            found,
            known,
            reader: made_by.map_or_else(
                || "a later version of rproxy".to_owned(),
                |version| format!("rproxy {version} or a later version"),
            ),
        },
        _ => StateError::Older {
            place,
            found,
            known,
        },
    }
}
