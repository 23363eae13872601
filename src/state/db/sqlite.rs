//! SQLite: a file with a write-ahead log beside it.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection as SqliteConnection, ErrorCode, OpenFlags, Statement};

use super::value::{Row, SqlValue, Transaction};
use crate::model::text::path as shown;
use crate::state::error::StateError;
use crate::state::place::IfMissing;
use crate::sys::clock::monotonic;
use crate::sys::fs::{
    FsError, PRIVATE_FILE, check_closed, create_new, give_to_owner_of_directory, sync_directory_of,
};

/// How long a change waits for those of other processes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many unused connections are kept.
const MOST_IDLE: usize = 8;

/// For the number of pages that are copied at once.
const ALL_PAGES: i32 = i32::MAX;

/// What each connection is told. A commit is on the disk before it returns (`synchronous=FULL`), also
/// with a log. What is removed is overwritten: it can be a secret.
const SETTINGS: &str = "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; \
                        PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY; \
                        PRAGMA journal_size_limit=67108864;";

/// A file of SQLite with its connections.
#[derive(Debug)]
pub(in crate::state) struct SqliteDatabase {
    path: PathBuf,
    place: String,
    /// A connection that is never used, and so is never closed after a failure. As long as there is one,
    /// the last command that closes the file does not remove its log: a confined process could not make
    /// another.
    anchor: Mutex<SqliteConnection>,
    idle: Mutex<Vec<SqliteConnection>>,
    /// Whether a thread of this process changes something. The others wait for it here, instead of asking
    /// the file again and again.
    is_writing: Mutex<bool>,
    written: Condvar,
}

impl SqliteDatabase {
    /// Opens a file. One that is made can be read by its owner alone, from its first byte on.
    pub(super) fn open(path: &Path, if_missing: IfMissing) -> Result<Self, StateError> {
        let place = shown(path).to_string();
        if !path.exists() {
            if if_missing == IfMissing::Refuse {
                return Err(StateError::Missing { place });
            }
            match create_new(path, PRIVATE_FILE) {
                Ok(empty) => {
                    give_to_owner_of_directory(&empty, path)?;
                    sync_directory_of(path)?;
                }
                Err(FsError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        check_closed(path)?;
        let anchor = connect(path, &place)?;
        // From the first reading on, a connection has a lock that says that the log is in use.
        let read = anchor.query_row("SELECT COUNT(*) FROM sqlite_master", [], |_| Ok(()));
        read.map_err(|error| failure(&place, &error))?;
        Ok(Self {
            anchor: Mutex::new(anchor),
            path: path.to_owned(),
            place,
            idle: Mutex::default(),
            is_writing: Mutex::default(),
            written: Condvar::new(),
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn read<T>(
        &self,
        read: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.transaction("BEGIN", read)
    }

    pub(super) fn write<T>(
        &self,
        write: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut is_writing = locked(&self.is_writing);
        let until = monotonic() + PATIENCE;
        while *is_writing {
            let left = until.saturating_sub(monotonic());
            if left.is_zero() {
                return Err(StateError::Busy {
                    place: self.place.clone(),
                    reason: "other changes are in progress".to_owned(),
                });
            }
            let waited = self.written.wait_timeout(is_writing, left);
            is_writing = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_writing = true;
        drop(is_writing);
        let _turn = WriteTurn(self);
        self.transaction("BEGIN IMMEDIATE", write)
    }

    pub(super) fn size(&self) -> Result<u64, StateError> {
        self.read(&mut |transaction| {
            let pages = transaction.number("SELECT page_count FROM pragma_page_count()", &[])?;
            let page = transaction.number("SELECT page_size FROM pragma_page_size()", &[])?;
            Ok(pages.saturating_mul(page))
        })
    }

    /// Copies the file to another one.
    pub(super) fn copy_file(&self, to: &Path) -> Result<(), StateError> {
        let connection = self.take()?;
        copy(&connection, to)?;
        self.keep(connection);
        Ok(())
    }

    /// Makes the file one that needs no log beside it.
    pub(super) fn close_file(self) -> Result<(), StateError> {
        let connection = self.take()?;
        let Self {
            anchor,
            idle,
            place,
            ..
        } = self;
        // All other connections are closed: they would keep the log open.
        drop((anchor, idle));
        let mode = connection.query_row("PRAGMA journal_mode=DELETE", [], |row| {
            row.get::<_, String>(0)
        });
        match mode.map_err(|error| failure(&place, &error))?.as_str() {
            "delete" => Ok(()),
            other => Err(StateError::Busy {
                place,
                reason: format!("its journal stays {other}: another process uses the file"),
            }),
        }
    }

    /// Carries out one statement that reads.
    pub(super) fn statement<T>(
        &self,
        ask: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let connection = self.take()?;
        let answer = ask(&mut SqliteTransaction {
            connection: &connection,
            place: &self.place,
        });
        self.keep_after(connection, &answer);
        answer
    }

    /// Carries out a transaction on a connection of its own.
    fn transaction<T>(
        &self,
        begin: &str,
        work: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let connection = self.take()?;
        let failed = |error| failure(&self.place, &error);
        #[cfg(test)]
        crate::state::testing::statements::note(begin, &[]);
        connection.execute_batch(begin).map_err(failed)?;
        let mut transaction = SqliteTransaction {
            connection: &connection,
            place: &self.place,
        };
        let done = match work(&mut transaction) {
            Ok(value) => connection
                .execute_batch("COMMIT")
                .map_err(failed)
                .map(|()| value),
            Err(error) => Err(error),
        };
        // A failure can have ended the transaction already.
        let is_over = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        if is_over {
            self.keep_after(connection, &done);
        }
        done
    }

    /// After a failure that is not the function's, the connection is closed: the next one finds the file as
    /// it is then.
    fn keep_after<T>(&self, connection: SqliteConnection, done: &Result<T, StateError>) {
        if !done.as_ref().is_err_and(is_of_database) {
            self.keep(connection);
        }
    }

    fn take(&self) -> Result<SqliteConnection, StateError> {
        let idle = locked(&self.idle).pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    fn keep(&self, connection: SqliteConnection) {
        let mut idle = locked(&self.idle);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
    }

    fn connect(&self) -> Result<SqliteConnection, StateError> {
        connect(&self.path, &self.place)
    }
}

fn connect(path: &Path, place: &str) -> Result<SqliteConnection, StateError> {
    let failed = |error| failure(place, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = SqliteConnection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let mode = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get::<_, String>(0));
    let mode = mode.map_err(failed)?;
    if mode != "wal" {
        return Err(StateError::Refused {
            place: place.to_owned(),
            reason: format!(
                "its journal stays {mode}: the file has to be on a local file system that can be \
                 written"
            ),
        });
    }
    connection.execute_batch(SETTINGS).map_err(failed)?;
    Ok(connection)
}

/// Copies a backup, which is only read, to another file, and looks at all of it.
pub(in crate::state) fn copy_backup(from: &Path, to: &Path) -> Result<(), StateError> {
    let place = shown(from).to_string();
    let failed = |error| failure(&place, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = SqliteConnection::open_with_flags(from, flags).map_err(failed)?;
    copy(&source, to)?;
    let copied = SqliteConnection::open(to).map_err(failed)?;
    let check = "PRAGMA quick_check(1)";
    let verdict = copied.query_row(check, [], |row| row.get::<_, String>(0));
    match verdict.map_err(failed)?.as_str() {
        "ok" => Ok(()),
        reason => Err(StateError::Damaged {
            place,
            reason: reason.to_owned(),
        }),
    }
}

/// Copies a file of SQLite as it is at one moment. Others may read and change it meanwhile: what is open
/// here is a snapshot.
fn copy(from: &SqliteConnection, to: &Path) -> Result<(), StateError> {
    let place = shown(to).to_string();
    let failed = |error| failure(&place, &error);
    let mut target = SqliteConnection::open(to).map_err(failed)?;
    let of_source = "BEGIN; SELECT COUNT(*) FROM sqlite_master";
    from.execute_batch(of_source).map_err(failed)?;
    let copied = rusqlite::backup::Backup::new(from, &mut target)
        .and_then(|backup| backup.run_to_completion(ALL_PAGES, Duration::ZERO, None));
    let ended = from.execute_batch("ROLLBACK");
    copied.and(ended).map_err(failed)
}

/// The right of one thread to change something. It is given back also if the thread panics.
struct WriteTurn<'d>(&'d SqliteDatabase);

impl Drop for WriteTurn<'_> {
    fn drop(&mut self) {
        *locked(&self.0.is_writing) = false;
        self.0.written.notify_one();
    }
}

struct SqliteTransaction<'c> {
    connection: &'c SqliteConnection,
    place: &'c str,
}

impl SqliteTransaction<'_> {
    /// A statement with its values. SQLite numbers parameters in the order in which they stand in the
    /// text; their names say which value each gets.
    fn prepared(&self, sql: &str, values: &[SqlValue]) -> Result<Statement<'_>, StateError> {
        let failed = |error| failure(self.place, &error);
        #[cfg(test)]
        crate::state::testing::statements::note(sql, values);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        for parameter in 1..=statement.parameter_count() {
            let name = statement.parameter_name(parameter).unwrap_or_default();
            let number = name
                .strip_prefix('$')
                .and_then(|number| number.parse().ok());
            let value = number.and_then(|number: usize| values.get(number.checked_sub(1)?));
            let bound = match value {
                Some(SqlValue::Integer(number)) => statement.raw_bind_parameter(parameter, number),
                Some(SqlValue::Text(text)) => statement.raw_bind_parameter(parameter, &**text),
                Some(SqlValue::Null) | None => {
                    statement.raw_bind_parameter(parameter, rusqlite::types::Null)
                }
            };
            bound.map_err(failed)?;
        }
        Ok(statement)
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn execute(&mut self, sql: &str, values: &[SqlValue]) -> Result<u64, StateError> {
        let changed = self.prepared(sql, values)?.raw_execute();
        let changed = changed.map_err(|error| failure(self.place, &error))?;
        Ok(changed as u64)
    }

    fn each(
        &mut self,
        sql: &str,
        values: &[SqlValue],
        on_row: &mut dyn FnMut(Row) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let failed = |error| failure(self.place, &error);
        let mut statement = self.prepared(sql, values)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            let mut found = Vec::with_capacity(columns);
            for column in 0..columns {
                found.push(match row.get_ref(column).map_err(failed)? {
                    ValueRef::Integer(number) => SqlValue::Integer(number),
                    ValueRef::Text(text) => {
                        SqlValue::from(String::from_utf8_lossy(text).into_owned())
                    }
                    ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => SqlValue::Null,
                });
            }
            on_row(Row(found))?;
        }
        Ok(())
    }

    fn batch(&mut self, sql: &str) -> Result<(), StateError> {
        let done = self.connection.execute_batch(sql);
        done.map_err(|error| failure(self.place, &error))
    }

    /// It has none.
    fn lift_time_limits(&mut self) -> Result<(), StateError> {
        Ok(())
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StateError> {
        let sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
        Ok(self.number(sql, &[SqlValue::from(name)])? > 0)
    }
}

/// What SQLite says, as an operator reads it.
fn failure(place: &str, error: &rusqlite::Error) -> StateError {
    let (place, reason) = (place.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StateError::Damaged { place, reason }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StateError::ReadOnly { place, reason }
        }
        Some(ErrorCode::DiskFull) => StateError::Full { place, reason },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StateError::Busy { place, reason }
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            StateError::Disk { place, reason }
        }
        _ => StateError::Refused { place, reason },
    }
}

/// Whether it is SQLite that has failed, and not what the function has found.
fn is_of_database(error: &StateError) -> bool {
    matches!(
        error,
        StateError::Damaged { .. }
            | StateError::ReadOnly { .. }
            | StateError::Full { .. }
            | StateError::Busy { .. }
            | StateError::Disk { .. }
            | StateError::Refused { .. }
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::private_tempdir;

    /// A process that has closed its connections after a failure finds the log again, whatever commands of
    /// others have opened and closed the file meanwhile.
    #[test]
    fn the_log_stays_as_long_as_a_process_has_the_file() {
        let directory = private_tempdir();
        let path = directory.path().join("state.db");
        let log = directory.path().join("state.db-wal");
        let database = SqliteDatabase::open(&path, IfMissing::Make).unwrap();
        let write = |database: &SqliteDatabase, sql: &str| {
            database.write(&mut |transaction| transaction.batch(sql))
        };
        write(&database, "CREATE TABLE t (a INTEGER)").unwrap();
        let identity = || {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(&log).unwrap().ino()
        };
        let before = identity();
        locked(&database.idle).clear();
        let command = SqliteDatabase::open(&path, IfMissing::Refuse).unwrap();
        write(&command, "INSERT INTO t VALUES (1)").unwrap();
        drop(command);
        assert_eq!(identity(), before);
        write(&database, "INSERT INTO t VALUES (2)").unwrap();
        database.close_file().unwrap();
        assert!(!log.exists());
    }
}
