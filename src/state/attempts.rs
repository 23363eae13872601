//! Failed attempts to sign in, from which the delays are counted.

use uuid::Uuid;

use super::db::{Database, SqlValue, values};
use super::error::StateError;
use crate::model::text::Printable;

/// For how long attempts are kept, in seconds: longer than any delay is counted from.
const KEPT: u64 = 24 * 60 * 60;
/// The longest account or source that is kept, in bytes.
const LONGEST: usize = 128;

/// A failed attempt to sign in.
#[derive(Clone, Debug)]
pub struct FailedAttempt<'a> {
    /// The name as it was given: there need be no such user. Case does not count.
    pub account: &'a str,
    /// The address of the client, without the port.
    pub source: &'a str,
    /// A registered key of the account that has proved itself on the connection, by its fingerprint.
    pub fingerprint: Option<&'a str>,
}

/// Which failed attempts are counted.
#[derive(Clone, Copy, Debug)]
pub enum AttemptsOf<'a> {
    /// Those for an account from a source, without a key that has proved itself.
    Pair {
        /// The name as it was given.
        account: &'a str,
        /// The address of the client.
        source: &'a str,
    },
    /// All from a source, without a key that has proved itself.
    Source(&'a str),
    /// All for an account, without a key that has proved itself.
    Account(&'a str),
    /// Those for an account on connections on which this key has proved itself.
    AccountWithKey {
        /// The name.
        account: &'a str,
        /// The fingerprint of the key.
        fingerprint: &'a str,
    },
}

/// How many attempts have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When the last one failed, in seconds since the epoch; 0 if there was none.
    pub last: u64,
}

/// The failed attempts.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempts<'s> {
    pub(super) database: &'s Database,
}

impl FailedAttempts<'_> {
    /// Writes down a failed attempt, and forgets those that are too old to count.
    ///
    /// # Errors
    /// Those of the database.
    pub fn record(&self, failed: &FailedAttempt<'_>, now: u64) -> Result<(), StateError> {
        let (account, source) = (folded(failed.account), bounded(failed.source));
        let fingerprint = failed.fingerprint.unwrap_or_default();
        let id = Uuid::now_v7();
        let sql = "INSERT INTO attempts (id, account, source, fingerprint, at)
                   VALUES ($1, $2, $3, $4, $5)";
        let row = values![id, account, source, fingerprint, now];
        self.database.write(|tx| {
            let oldest = now.saturating_sub(KEPT);
            tx.execute("DELETE FROM attempts WHERE at < $1", values![oldest])?;
            tx.execute(sql, row)?;
            Ok(())
        })
    }

    /// Forgets the oldest attempts where there are more than so many. Of those of one moment, all are kept or
    /// none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn keep(&self, most: u64) -> Result<(), StateError> {
        let sql = "DELETE FROM attempts WHERE at <
                   (SELECT at FROM attempts ORDER BY at DESC LIMIT 1 OFFSET $1)";
        self.database
            .write(|tx| tx.execute(sql, values![most.saturating_sub(1)]))?;
        Ok(())
    }

    /// How many attempts have failed since this moment, in seconds since the epoch, and when the last one
    /// did.
    ///
    /// # Errors
    /// Those of the database.
    pub fn failures(&self, of: AttemptsOf<'_>, since: u64) -> Result<Failures, StateError> {
        let (condition, mut row) = condition(of);
        row.push(SqlValue::from(since));
        let sql = format!(
            "SELECT COUNT(*), COALESCE(MAX(at), 0) FROM attempts WHERE {condition} AND at >= ${}",
            row.len()
        );
        let found = self.database.first(&sql, &row)?;
        let Some(found) = found else {
            return Ok(Failures::default());
        };
        Ok(Failures {
            count: found.number(0)?,
            last: found.number(1)?,
        })
    }

    /// Forgets failed attempts: the account has signed in.
    ///
    /// # Errors
    /// Those of the database.
    pub fn reset(&self, of: AttemptsOf<'_>) -> Result<(), StateError> {
        let (condition, row) = condition(of);
        let sql = format!("DELETE FROM attempts WHERE {condition}");
        self.database.write(|tx| tx.execute(&sql, &row))?;
        Ok(())
    }
}

fn condition(of: AttemptsOf<'_>) -> (&'static str, Vec<SqlValue>) {
    let (condition, row): (_, &[SqlValue]) = match of {
        AttemptsOf::Pair { account, source } => (
            "account = $1 AND source = $2 AND fingerprint = ''",
            values![folded(account), bounded(source)],
        ),
        AttemptsOf::Source(source) => {
            ("source = $1 AND fingerprint = ''", values![bounded(source)])
        }
        AttemptsOf::Account(account) => (
            "account = $1 AND fingerprint = ''",
            values![folded(account)],
        ),
        AttemptsOf::AccountWithKey {
            account,
            fingerprint,
        } => (
            "account = $1 AND fingerprint = $2",
            values![folded(account), fingerprint],
        ),
    };
    (condition, row.to_vec())
}

/// What a client may have typed, as it is kept: printable and not too long.
fn bounded(text: &str) -> String {
    Printable(text).within(LONGEST)
}

fn folded(account: &str) -> String {
    bounded(&account.to_ascii_lowercase())
}
