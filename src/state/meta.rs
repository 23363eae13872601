//! What the state knows about itself, such as the cluster's name.

use super::db::{Database, Transaction, values};
use super::error::StateError;

/// Names with one text each.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'s> {
    pub(super) database: &'s Database,
}

impl Meta<'_> {
    /// The text of a name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn get(&self, name: &str) -> Result<Option<String>, StateError> {
        self.database.read(|tx| text(tx, name))
    }

    /// Gives a name a text, in place of an earlier one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set(&self, name: &str, value: &str) -> Result<(), StateError> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.database
            .write(|tx| tx.execute(sql, values![name, value]))?;
        Ok(())
    }

    /// Gives a name a text unless it has one; gives the one that it has then. Of several processes, one is
    /// first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn settle(&self, name: &str, value: &str) -> Result<String, StateError> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.database.write(|tx| {
            tx.execute(sql, values![name, value])?;
            Ok(text(tx, name)?.unwrap_or_default())
        })
    }
}

fn text(tx: &mut dyn Transaction, name: &str) -> Result<Option<String>, StateError> {
    let row = tx.first("SELECT value FROM meta WHERE name = $1", values![name])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}
