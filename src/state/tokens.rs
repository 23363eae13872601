//! Tokens: each lets hosts join, a number of times and for a while.

use uuid::Uuid;

use super::db::{Database, Row, Transaction, as_json, values};
use super::error::StateError;
use super::node_rows::{label_texts, labels_of};
use crate::model::{Label, TunnelRule};

/// A token. The state has the hash of its text only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id, by which administrators name it.
    pub id: Uuid,
    /// The hash of the text.
    pub hash: String,
    /// The names that a host may take; empty for any.
    pub names: Vec<String>,
    /// The labels that a host gets, and cannot change.
    pub labels: Vec<Label>,
    /// Whether a host may, or has to, keep a tunnel.
    pub tunnel: TunnelRule,
    /// How many hosts may still join with it.
    pub uses: u64,
    /// When it was made, in seconds since the epoch.
    pub created: u64,
    /// The first second in which it is of no use any more.
    pub expires: u64,
    /// Who has made it.
    pub created_by: String,
}

/// The tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'s> {
    pub(super) database: &'s Database,
}

const COLUMNS: &str = "id, hash, names, labels, tunnel, uses, created, expires, created_by";

impl Tokens<'_> {
    /// Writes down a token.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put(&self, token: &Token) -> Result<(), StateError> {
        let sql =
            format!("INSERT INTO tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        let names = as_json(&token.names)?;
        let labels = as_json(&label_texts(&token.labels))?;
        let (tunnel, created_by) = (token.tunnel.name(), &token.created_by);
        let (uses, created, expires) = (token.uses, token.created, token.expires);
        let row = values![
            token.id,
            &token.hash,
            names,
            labels,
            tunnel,
            uses,
            created,
            expires,
            created_by
        ];
        self.database.write(|tx| tx.execute(&sql, row))?;
        Ok(())
    }

    /// The token of this hash with which a host can join at `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub fn find(&self, hash: &str, now: u64) -> Result<Option<Token>, StateError> {
        let found = self.by_hash_any(hash)?;
        Ok(found.filter(|token| token.uses > 0 && token.expires > now))
    }

    /// The token of this hash, also one that is used up or whose time is over, as long as it is
    /// remembered.
    ///
    /// # Errors
    /// Those of the database.
    pub fn by_hash_any(&self, hash: &str) -> Result<Option<Token>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens WHERE hash = $1");
        let row = self.database.first(&sql, values![hash])?;
        row.as_ref().map(read_token).transpose()
    }

    /// All tokens that are remembered, the oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn list(&self) -> Result<Vec<Token>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens ORDER BY created, id");
        let rows = self.database.query(&sql, &[])?;
        rows.iter().map(read_token).collect()
    }

    /// Removes a token; `false` if there is none of this id. Hosts that have joined with it stay nodes.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(&self, id: Uuid) -> Result<bool, StateError> {
        let sql = "DELETE FROM tokens WHERE id = $1";
        Ok(self.database.write(|tx| tx.execute(sql, values![id]))? == 1)
    }

    /// Forgets tokens whose time was over before `moment`, in seconds since the epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_before(&self, moment: u64) -> Result<(), StateError> {
        let sql = "DELETE FROM tokens WHERE expires < $1";
        self.database.write(|tx| tx.execute(sql, values![moment]))?;
        Ok(())
    }
}

/// Whether a token has uses left at `now`, in seconds since the epoch. Another transaction may take them.
pub(super) fn can_be_spent(
    tx: &mut dyn Transaction,
    hash: &str,
    now: u64,
) -> Result<bool, StateError> {
    let sql = "SELECT COUNT(*) FROM tokens WHERE hash = $1 AND uses > 0 AND expires > $2";
    Ok(tx.number(sql, values![hash, now])? > 0)
}

/// Takes one use of a token: gives its id as often as it has uses, and not after its time.
pub(super) fn spend_token(
    tx: &mut dyn Transaction,
    hash: &str,
    now: u64,
) -> Result<Option<Uuid>, StateError> {
    let sql = "UPDATE tokens SET uses = uses - 1 WHERE hash = $1 AND uses > 0 AND expires > $2
               RETURNING id";
    let row = tx.first(sql, values![hash, now])?;
    row.map(|row| row.parsed(0)).transpose()
}

fn read_token(row: &Row) -> Result<Token, StateError> {
    Ok(Token {
        id: row.parsed(0)?,
        hash: row.text(1)?.to_owned(),
        names: row.json(2)?,
        labels: labels_of(row, 3)?,
        tunnel: row.parsed(4)?,
        uses: row.number(5)?,
        created: row.number(6)?,
        expires: row.number(7)?,
        created_by: row.text(8)?.to_owned(),
    })
}
