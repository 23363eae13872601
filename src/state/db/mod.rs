//! The two databases behind one set of transactions.
//!
//! Each statement is one text for both. A change is one transaction that no other change is seen in the
//! middle of: SQLite has one writer at a time, PostgreSQL is used at the level SERIALIZABLE. A function
//! that is given a transaction can be called several times, until the transaction succeeds: it must have
//! no other effects.

mod postgres;
mod sqlite;
mod tls;
mod value;

use std::path::Path;

pub(super) use sqlite::copy_backup;
pub(super) use value::{Row, SqlValue, Transaction, as_json, values};

use self::postgres::PostgresDatabase;
use self::sqlite::SqliteDatabase;
use super::error::StateError;
use super::place::{IfMissing, StatePlace};

/// A database with its connections.
#[derive(Debug)]
pub(super) enum Database {
    /// A file of SQLite.
    Sqlite(SqliteDatabase),
    /// A database of PostgreSQL.
    Postgres(Box<PostgresDatabase>),
}

impl Database {
    /// Opens the first connection.
    pub(super) fn open(place: &StatePlace, if_missing: IfMissing) -> Result<Self, StateError> {
        Ok(match place {
            StatePlace::Sqlite(path) => Self::Sqlite(SqliteDatabase::open(path, if_missing)?),
            StatePlace::Postgres(url) => Self::Postgres(Box::new(PostgresDatabase::open(url)?)),
        })
    }

    /// The database as it is shown, without its password.
    pub(super) fn place(&self) -> &str {
        match self {
            Self::Sqlite(database) => database.place(),
            Self::Postgres(database) => database.place(),
        }
    }

    /// The name of the kind of database.
    pub(super) fn backend(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Reads, from one snapshot.
    pub(super) fn read<T>(
        &self,
        mut read: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self {
            Self::Sqlite(database) => database.read(&mut read),
            Self::Postgres(database) => database.read(&mut read),
        }
    }

    /// Changes. All of it is durable when this returns, or nothing has changed; with
    /// [`StateError::Unconfirmed`], one of the two.
    pub(super) fn write<T>(
        &self,
        mut write: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self {
            Self::Sqlite(database) => database.write(&mut write),
            Self::Postgres(database) => database.write(&mut write),
        }
    }

    /// Changes the schema, while no other process does.
    pub(super) fn change_schema<T>(
        &self,
        mut change: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match self {
            Self::Sqlite(database) => database.write(&mut change),
            Self::Postgres(database) => database.change_schema(&mut change),
        }
    }

    /// How much room the database takes up, in bytes.
    pub(super) fn size(&self) -> Result<u64, StateError> {
        match self {
            Self::Sqlite(database) => database.size(),
            Self::Postgres(database) => database.size(),
        }
    }

    /// Copies a file of SQLite, while others may use it, to another one, page by page; `None` if this is
    /// no file of SQLite.
    pub(super) fn copy_file(&self, to: &Path) -> Option<Result<(), StateError>> {
        match self {
            Self::Sqlite(database) => Some(database.copy_file(to)),
            Self::Postgres(_) => None,
        }
    }

    /// Makes a file of SQLite one file, without the log beside it, as soon as nothing else uses it.
    pub(super) fn close_file(self) -> Result<(), StateError> {
        match self {
            Self::Sqlite(database) => database.close_file(),
            Self::Postgres(_) => Ok(()),
        }
    }
}
