//! The keys that users have registered.

use uuid::Uuid;

use super::db::{Database, Row, Transaction, values};
use super::ends::{SignInsOf, end_sign_ins};
use super::error::StateError;
use super::users::{USER_COLUMNS, USER_WIDTH, User, may_sign_in, read_user};
use crate::ipc::SignInEnd;

/// A key that a user has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    /// The user.
    pub user: Uuid,
    /// SHA-256, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Type and key, as in `authorized_keys`.
    pub line: String,
    /// What helps the user to tell it from others.
    pub comment: String,
    /// When it was registered, in seconds since the epoch.
    pub registered: u64,
    /// When the user has last signed in with it, in seconds since the epoch.
    pub used: Option<u64>,
}

/// The registered keys. Each belongs to one user.
#[derive(Clone, Copy, Debug)]
pub struct RegisteredKeys<'s> {
    pub(super) database: &'s Database,
}

const KEY_COLUMNS: &str = "registered_keys.user_id, registered_keys.fingerprint, \
     registered_keys.line, registered_keys.comment, registered_keys.registered, \
     registered_keys.used";

impl RegisteredKeys<'_> {
    /// Registers a key. One that the user has registered already stays as it is.
    ///
    /// # Errors
    /// [`StateError::KeyTaken`] if another user has registered it, [`StateError::NoSuchUser`] if the user
    /// is gone or locked, or those of the database.
    pub fn register(&self, key: &RegisteredKey) -> Result<(), StateError> {
        self.database.write(|tx| register_key(tx, key))
    }

    /// The key of a fingerprint, and its user.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_fingerprint(
        &self,
        fingerprint: &str,
    ) -> Result<Option<(User, RegisteredKey)>, StateError> {
        let sql = format!(
            "SELECT {USER_COLUMNS}, {KEY_COLUMNS} FROM registered_keys
             JOIN users ON users.id = registered_keys.user_id
             WHERE registered_keys.fingerprint = $1"
        );
        let row = self.database.first(&sql, values![fingerprint])?;
        let read = |row: Row| Ok((read_user(&row)?, read_key(&row, USER_WIDTH)?));
        row.map(read).transpose()
    }

    /// The keys of a user, the oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_user(&self, user: Uuid) -> Result<Vec<RegisteredKey>, StateError> {
        let sql = format!(
            "SELECT {KEY_COLUMNS} FROM registered_keys WHERE user_id = $1
             ORDER BY registered, fingerprint"
        );
        let rows = self.database.query(&sql, values![user])?;
        rows.iter().map(|row| read_key(row, 0)).collect()
    }

    /// Removes a key of a user, and ends the sign-ins with it; gives those that have ended, or `None` if
    /// the user has no such key.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(
        &self,
        user: Uuid,
        fingerprint: &str,
        now: u64,
    ) -> Result<Option<Vec<Uuid>>, StateError> {
        let which = SignInsOf::UserWithKey(user, fingerprint.to_owned());
        self.database.write(|tx| {
            let ended = end_sign_ins(tx, &which, SignInEnd::KeyRemoved, now)?;
            let sql = "DELETE FROM registered_keys WHERE user_id = $1 AND fingerprint = $2";
            let removed = tx.execute(sql, values![user, fingerprint])?;
            Ok((removed == 1).then_some(ended))
        })
    }
}

/// Registers a key; see [`RegisteredKeys::register`].
pub(super) fn register_key(
    tx: &mut dyn Transaction,
    key: &RegisteredKey,
) -> Result<(), StateError> {
    if !may_sign_in(tx, key.user)? {
        return Err(StateError::NoSuchUser);
    }
    let sql = "INSERT INTO registered_keys (fingerprint, user_id, line, comment, registered)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (fingerprint) DO NOTHING";
    let (fingerprint, registered) = (&key.fingerprint, key.registered);
    let row = values![fingerprint, key.user, &key.line, &key.comment, registered];
    if tx.execute(sql, row)? == 1 {
        return Ok(());
    }
    let sql = "SELECT COUNT(*) FROM registered_keys WHERE fingerprint = $1 AND user_id = $2";
    match tx.number(sql, values![fingerprint, key.user])? {
        0 => Err(StateError::KeyTaken(fingerprint.clone())),
        _ => Ok(()),
    }
}

/// Reads the columns [`KEY_COLUMNS`], which begin at `first`.
fn read_key(row: &Row, first: usize) -> Result<RegisteredKey, StateError> {
    Ok(RegisteredKey {
        user: row.parsed(first)?,
        fingerprint: row.text(first + 1)?.to_owned(),
        line: row.text(first + 2)?.to_owned(),
        comment: row.text(first + 3)?.to_owned(),
        registered: row.number(first + 4)?,
        used: row.optional_number(first + 5)?,
    })
}
