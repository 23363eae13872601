//! Invitations: each lets one user set up their credentials, once.

use uuid::Uuid;

use super::db::{Database, Row, Transaction, values};
use super::error::StateError;

/// An invitation. The state has the hash of its text only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The user who is invited.
    pub user: Uuid,
    /// The hash of the text.
    pub hash: String,
    /// When it was made, in seconds since the epoch.
    pub created: u64,
    /// The first second in which it is of no use any more.
    pub expires: u64,
}

/// The invitations.
#[derive(Clone, Copy, Debug)]
pub struct Invitations<'s> {
    pub(super) database: &'s Database,
}

const COLUMNS: &str = "user_id, hash, created, expires";

impl Invitations<'_> {
    /// Writes down an invitation.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`] if there is no such user, or those of the database.
    pub fn put(&self, invitation: &Invitation) -> Result<(), StateError> {
        self.database.write(|tx| put_invitation(tx, invitation))
    }

    /// The invitation of this hash that can be used at `now`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn find(&self, hash: &str, now: u64) -> Result<Option<Invitation>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM invitations WHERE hash = $1 AND expires > $2");
        let row = self.database.first(&sql, values![hash, now])?;
        row.as_ref().map(read_invitation).transpose()
    }

    /// Spends an invitation: `true` once, and not after its time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn spend(&self, hash: &str, now: u64) -> Result<bool, StateError> {
        let spent = self.database.write(|tx| spend_invitation(tx, hash, now))?;
        Ok(spent.is_some())
    }

    /// The invitations of a user, also those whose time is over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_user(&self, user: Uuid) -> Result<Vec<Invitation>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM invitations WHERE user_id = $1 ORDER BY created");
        let rows = self.database.query(&sql, values![user])?;
        rows.iter().map(read_invitation).collect()
    }

    /// Removes all invitations of a user; gives how many there were.
    ///
    /// # Errors
    /// Those of the database.
    pub fn drop_of_user(&self, user: Uuid) -> Result<u64, StateError> {
        let sql = "DELETE FROM invitations WHERE user_id = $1";
        self.database.write(|tx| tx.execute(sql, values![user]))
    }
}

/// Writes down an invitation.
pub(super) fn put_invitation(
    tx: &mut dyn Transaction,
    invitation: &Invitation,
) -> Result<(), StateError> {
    let sql = "INSERT INTO invitations (hash, user_id, created, expires)
               SELECT $1, users.id, $3, $4 FROM users WHERE users.id = $2";
    let (hash, expires) = (&invitation.hash, invitation.expires);
    let row = values![hash, invitation.user, invitation.created, expires];
    match tx.execute(sql, row)? {
        0 => Err(StateError::NoSuchUser),
        _ => Ok(()),
    }
}

/// Spends an invitation: gives its user once, and not after its time.
pub(super) fn spend_invitation(
    tx: &mut dyn Transaction,
    hash: &str,
    now: u64,
) -> Result<Option<Uuid>, StateError> {
    let sql = "DELETE FROM invitations WHERE hash = $1 AND expires > $2 RETURNING user_id";
    let row = tx.first(sql, values![hash, now])?;
    row.map(|row| row.parsed(0)).transpose()
}

fn read_invitation(row: &Row) -> Result<Invitation, StateError> {
    Ok(Invitation {
        user: row.parsed(0)?,
        hash: row.text(1)?.to_owned(),
        created: row.number(2)?,
        expires: row.number(3)?,
    })
}
