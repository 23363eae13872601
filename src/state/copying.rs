//! Backups, and the way from one database to another: all tables, in one transaction of the target.

use std::path::Path;

use super::db::{Database, SqlValue, Transaction, copy_backup, values};
use super::error::StateError;
use super::handle::State;
use super::place::{IfMissing, StatePlace};
use super::schema::{OWN_META, TABLES};
use crate::model::text::path as shown;
use crate::sys::fs::{PRIVATE_FILE, Replace, Staged};

/// How many rows one statement inserts.
const ROWS_AT_ONCE: usize = 100;

impl State {
    /// Writes a backup: a file of SQLite that has all tables as they are at one moment. Others may use the
    /// state meanwhile. The file is there as a whole or not at all; only its owner can read it.
    ///
    /// # Errors
    /// If the file exists already or cannot be written, or those of the database.
    pub fn backup(&self, file: &Path) -> Result<(), StateError> {
        let staged = Staged::write(file, b"", PRIVATE_FILE)?;
        let place = StatePlace::Sqlite(staged.temporary().to_owned());
        let copied = match self.database.copy_file(staged.temporary()) {
            Some(copied) => copied,
            None => Self::open(&place, self.clock()).and_then(|to| self.copy_to(&to)),
        };
        copied.and_then(|()| Database::open(&place, IfMissing::Refuse)?.close_file())?;
        Ok(staged.place(Replace::Refuse)?)
    }

    /// Fills this state, which has to be empty, from a backup, also from one that an earlier version of
    /// rproxy has written. The backup is not changed: a copy of it is in the directory for temporary files
    /// meanwhile, for its owner only.
    ///
    /// # Errors
    /// [`StateError::NotEmpty`], [`StateError::Newer`], [`StateError::Damaged`], [`StateError::Missing`],
    /// or those of the database. Nothing has changed then.
    pub fn restore(&self, file: &Path) -> Result<(), StateError> {
        if !file.is_file() {
            let place = shown(file).to_string();
            return Err(StateError::Missing { place });
        }
        let staged = std::env::temp_dir().join("rproxy-restore.db");
        let staged = Staged::write(&staged, b"", PRIVATE_FILE)?;
        copy_backup(file, staged.temporary())?;
        let place = StatePlace::Sqlite(staged.temporary().to_owned());
        let backup = Self::open(&place, self.clock())?;
        backup.copy_to(self)?;
        let Self { database, .. } = backup;
        match std::sync::Arc::into_inner(database) {
            Some(database) => database.close_file(),
            None => Ok(()),
        }
    }

    /// Copies everything to another state, which has to be empty.
    ///
    /// # Errors
    /// [`StateError::NotEmpty`], or those of the databases. Nothing has changed then.
    pub fn copy_to(&self, target: &Self) -> Result<(), StateError> {
        target.database.write(|to| {
            // A table with millions of rows is one statement, which lasts as long as its rows are written.
            to.lift_time_limits()?;
            for (table, _) in TABLES.iter().filter(|(table, _)| *table != "counters") {
                let sql = format!("SELECT COUNT(*) FROM {table}");
                if to.number(&sql, &[])? > 0 {
                    let place = target.database.place().to_owned();
                    return Err(StateError::NotEmpty { place, table });
                }
            }
            to.execute("DELETE FROM counters", &[])?;
            self.database.read(|from| {
                from.lift_time_limits()?;
                copy_tables(from, to)
            })
        })
    }
}

fn copy_tables(from: &mut dyn Transaction, to: &mut dyn Transaction) -> Result<(), StateError> {
    for (table, columns) in TABLES {
        let names = columns.join(", ");
        let mut waiting = Vec::new();
        let select = format!("SELECT {names} FROM {table}");
        from.each(&select, &[], &mut |row| {
            waiting.extend(row.into_values());
            if waiting.len() < ROWS_AT_ONCE * columns.len() {
                return Ok(());
            }
            insert(to, table, columns, &std::mem::take(&mut waiting))
        })?;
        insert(to, table, columns, &waiting)?;
    }
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let select = "SELECT name, value FROM meta WHERE name <> $1 AND name <> $2";
    let [schema, made_by] = OWN_META;
    from.each(select, values![schema, made_by], &mut |row| {
        to.execute(sql, &row.into_values()).map(|_one| ())
    })
}

/// Inserts the rows that these values make, one behind the other.
fn insert(
    to: &mut dyn Transaction,
    table: &str,
    columns: &[&str],
    values: &[SqlValue],
) -> Result<(), StateError> {
    if values.is_empty() {
        return Ok(());
    }
    let width = columns.len();
    let row = |first: usize| {
        let numbers: Vec<_> = (first..first + width).map(|n| format!("${n}")).collect();
        format!("({})", numbers.join(", "))
    };
    let rows: Vec<_> = (1..=values.len()).step_by(width).map(row).collect();
    let (names, rows) = (columns.join(", "), rows.join(", "));
    let sql = format!("INSERT INTO {table} ({names}) VALUES {rows}");
    to.execute(&sql, values).map(|_rows| ())
}
