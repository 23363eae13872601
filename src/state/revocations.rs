//! The rows of the revocations, and the marks of how far other files have come.

use super::db::{Database, Row, Transaction, values};
use super::error::StateError;

/// A row of the revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// The version of the list that has it; later rows have greater ones.
    pub version: u64,
    /// A JSON object.
    pub line: String,
}

/// The rows of the revocations. None is ever changed or removed.
#[derive(Clone, Copy, Debug)]
pub struct RevocationRows<'s> {
    pub(super) database: &'s Database,
}

impl RevocationRows<'_> {
    /// Adds rows, whose versions grow, if the last row has the version `last` (0 if there is none). `false`
    /// if it has another one, or a row does not come after the one before it: nothing is added then.
    ///
    /// # Errors
    /// Those of the database.
    pub fn append(&self, last: u64, rows: &[RevocationRow]) -> Result<bool, StateError> {
        let before = std::iter::once(last).chain(rows.iter().map(|row| row.version));
        if before.zip(rows).any(|(before, row)| row.version <= before) {
            return Ok(false);
        }
        self.database.write(|tx| {
            if last_version(tx)? != last {
                return Ok(false);
            }
            for row in rows {
                insert(tx, row)?;
            }
            Ok(true)
        })
    }

    /// The rows after the first `skipped`, at most `limit`, in the order of their versions.
    ///
    /// # Errors
    /// Those of the database.
    pub fn page(&self, skipped: u64, limit: usize) -> Result<Vec<RevocationRow>, StateError> {
        let sql = "SELECT version, line FROM revocations ORDER BY version LIMIT $1 OFFSET $2";
        let rows = self.database.query(sql, values![limit, skipped])?;
        rows.iter().map(read_row).collect()
    }

    /// The rows of later versions than this, at most `limit`, in the order of their versions.
    ///
    /// # Errors
    /// Those of the database.
    pub fn after(&self, version: u64, limit: usize) -> Result<Vec<RevocationRow>, StateError> {
        let sql = "SELECT version, line FROM revocations WHERE version > $1
                   ORDER BY version LIMIT $2";
        let rows = self.database.query(sql, values![version, limit])?;
        rows.iter().map(read_row).collect()
    }

    /// The version of the last row; 0 if there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_version(&self) -> Result<u64, StateError> {
        self.database.read(last_version)
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count(&self) -> Result<u64, StateError> {
        let sql = "SELECT COUNT(*) FROM revocations";
        self.database.number(sql, &[])
    }

    /// How far another file had come: the mark of this kind and authority; 0 if there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn mark(&self, kind: &str, authority: &str) -> Result<u64, StateError> {
        let sql = "SELECT moves FROM marks WHERE kind = $1 AND authority = $2";
        self.database.number(sql, values![kind, authority])
    }

    /// Writes down how far another file has come, unless a mark is as far already.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set_mark(&self, kind: &str, authority: &str, moves: u64) -> Result<(), StateError> {
        self.database
            .write(|tx| set_mark(tx, kind, authority, moves))
    }
}

/// Adds a row.
pub(super) fn insert(tx: &mut dyn Transaction, row: &RevocationRow) -> Result<(), StateError> {
    let sql = "INSERT INTO revocations (version, line) VALUES ($1, $2)";
    tx.execute(sql, values![row.version, &row.line])?;
    Ok(())
}

/// Sets a mark, unless it is as far already.
pub(super) fn set_mark(
    tx: &mut dyn Transaction,
    kind: &str,
    authority: &str,
    moves: u64,
) -> Result<(), StateError> {
    let sql = "INSERT INTO marks (kind, authority, moves) VALUES ($1, $2, $3)
               ON CONFLICT (kind, authority) DO UPDATE SET moves = excluded.moves
               WHERE marks.moves < excluded.moves";
    tx.execute(sql, values![kind, authority, moves])?;
    Ok(())
}

/// The version of the last row; 0 if there is none.
pub(super) fn last_version(tx: &mut dyn Transaction) -> Result<u64, StateError> {
    tx.number("SELECT COALESCE(MAX(version), 0) FROM revocations", &[])
}

fn read_row(row: &Row) -> Result<RevocationRow, StateError> {
    Ok(RevocationRow {
        version: row.number(0)?,
        line: row.text(1)?.to_owned(),
    })
}
