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
use crate::metrics::{StateMeters, StateTask};
use crate::sys::clock::monotonic;

/// A database with its connections.
#[derive(Debug)]
pub(super) struct Database {
    engine: Engine,
    meters: StateMeters,
}

/// The kinds of databases.
#[derive(Debug)]
enum Engine {
    /// A file of SQLite.
    Sqlite(SqliteDatabase),
    /// A database of PostgreSQL.
    Postgres(Box<PostgresDatabase>),
}

impl Database {
    /// Opens the first connection.
    pub(super) fn open(place: &StatePlace, if_missing: IfMissing) -> Result<Self, StateError> {
        let engine = match place {
            StatePlace::Sqlite(path) => Engine::Sqlite(SqliteDatabase::open(path, if_missing)?),
            StatePlace::Postgres(url) => Engine::Postgres(Box::new(PostgresDatabase::open(url)?)),
        };
        let meters = StateMeters::default();
        Ok(Self { engine, meters })
    }

    /// What was counted.
    pub(super) fn meters(&self) -> &StateMeters {
        &self.meters
    }

    /// Does something with the database; how long it takes is counted, or that it fails.
    fn measured<T>(
        &self,
        task: StateTask,
        work: impl FnOnce() -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let began = monotonic();
        let done = work();
        match &done {
            Err(error) if error.is_of_database() => self.meters.errors.add(1),
            // A refusal, as of a name that is taken, is an answer too.
            Ok(_) | Err(_) => {
                let took = monotonic().saturating_sub(began);
                self.meters.time.observe(task, took);
            }
        }
        done
    }

    /// The database as it is shown, without its password.
    pub(super) fn place(&self) -> &str {
        match &self.engine {
            Engine::Sqlite(database) => database.place(),
            Engine::Postgres(database) => database.place(),
        }
    }

    /// The name of the kind of database.
    pub(super) fn backend(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Reads, from one snapshot.
    pub(super) fn read<T>(
        &self,
        mut read: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.measured(StateTask::Read, || match &self.engine {
            Engine::Sqlite(database) => database.read(&mut read),
            Engine::Postgres(database) => database.read(&mut read),
        })
    }

    /// All rows of one statement that reads. It needs no transaction around it: with PostgreSQL, each is a
    /// question and an answer less at its beginning and at its end.
    pub(super) fn query(&self, sql: &str, values: &[SqlValue]) -> Result<Vec<Row>, StateError> {
        let mut ask = |tx: &mut dyn Transaction| tx.query(sql, values);
        self.measured(StateTask::Read, || match &self.engine {
            Engine::Sqlite(database) => database.statement(&mut ask),
            Engine::Postgres(database) => database.statement(&mut ask),
        })
    }

    /// The same; its first row.
    pub(super) fn first(&self, sql: &str, values: &[SqlValue]) -> Result<Option<Row>, StateError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// The same; the number that it gives.
    pub(super) fn number(&self, sql: &str, values: &[SqlValue]) -> Result<u64, StateError> {
        let row = self.first(sql, values)?;
        row.map_or(Ok(0), |row| row.number(0))
    }

    /// Changes. All of it is durable when this returns, or nothing has changed; with
    /// [`StateError::Unconfirmed`], one of the two.
    pub(super) fn write<T>(
        &self,
        mut write: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.measured(StateTask::Write, || match &self.engine {
            Engine::Sqlite(database) => database.write(&mut write),
            Engine::Postgres(database) => database.write(&mut write),
        })
    }

    /// Changes the schema, while no other process does.
    pub(super) fn change_schema<T>(
        &self,
        mut change: impl FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        match &self.engine {
            Engine::Sqlite(database) => database.write(&mut change),
            Engine::Postgres(database) => database.change_schema(&mut change),
        }
    }

    /// How much room the database takes up, in bytes.
    pub(super) fn size(&self) -> Result<u64, StateError> {
        match &self.engine {
            Engine::Sqlite(database) => database.size(),
            Engine::Postgres(database) => database.size(),
        }
    }

    /// Copies a file of SQLite, while others may use it, to another one, page by page; `None` if this is
    /// no file of SQLite.
    pub(super) fn copy_file(&self, to: &Path) -> Option<Result<(), StateError>> {
        match &self.engine {
            Engine::Sqlite(database) => Some(database.copy_file(to)),
            Engine::Postgres(_) => None,
        }
    }

    /// Makes a file of SQLite one file, without the log beside it, as soon as nothing else uses it.
    pub(super) fn close_file(self) -> Result<(), StateError> {
        match self.engine {
            Engine::Sqlite(database) => database.close_file(),
            Engine::Postgres(_) => Ok(()),
        }
    }
}
