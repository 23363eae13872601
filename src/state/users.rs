//! Users: who there is, and what the state lets them do.

use uuid::Uuid;

use super::db::{Database, Row, SqlValue, Transaction, as_json, values};
use super::ends::{SignInsOf, announce_access, end_sign_ins};
use super::error::StateError;
use crate::ipc::SignInEnd;
use crate::model::{Login, UserName};

/// A user, as an identity provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSubject {
    /// The provider.
    pub issuer: String,
    /// The provider's name for the user, which never changes and is no other's.
    pub subject: String,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The identity, which stays when the name is given to another person after this one.
    pub id: Uuid,
    /// The name.
    pub name: UserName,
    /// The roles, by their names in the configuration.
    pub roles: Vec<String>,
    /// The logins that the user may use; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
    /// When the user was added, in seconds since the epoch.
    pub created: u64,
    /// Why the user may not sign in.
    pub locked: Option<Lock>,
    /// Whether there is a password.
    pub password: bool,
    /// Whether there is a secret for one-time codes.
    pub totp: bool,
    /// Who vouches for the user; `None` for one with a password, or an invitation to choose one.
    pub provider: Option<ProviderSubject>,
}

/// Why a user may not sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Since when, in seconds since the epoch.
    pub since: u64,
    /// The reason that was given; empty if none was.
    pub reason: String,
    /// The account that locked the user.
    pub by: String,
}

/// A user who is to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name.
    pub name: UserName,
    /// The roles.
    pub roles: Vec<String>,
    /// The logins; `None` for all that the roles allow.
    pub logins: Option<Vec<Login>>,
    /// Now, in seconds since the epoch.
    pub created: u64,
}

/// The users. What removes or locks a user ends the user's sign-ins in the same transaction.
#[derive(Clone, Copy, Debug)]
pub struct Users<'s> {
    pub(super) database: &'s Database,
}

/// The columns of [`User`], as [`read_user`] takes them.
pub(super) const USER_COLUMNS: &str = "users.id, users.name, users.roles, users.logins, \
     users.created, users.locked, users.lock_reason, users.locked_by, \
     CASE WHEN users.password IS NULL THEN 'no' ELSE 'yes' END, \
     CASE WHEN users.totp IS NULL THEN 'no' ELSE 'yes' END, users.issuer, users.subject";

/// How many columns these are.
pub(super) const USER_WIDTH: usize = 12;

impl Users<'_> {
    /// Adds a user.
    ///
    /// # Errors
    /// [`StateError::NameTaken`] if a user has the name, or one that differs from it in case alone.
    pub fn add(&self, new: NewUser) -> Result<User, StateError> {
        self.insert(new, None)
    }

    pub(super) fn insert(
        &self,
        new: NewUser,
        provider: Option<ProviderSubject>,
    ) -> Result<User, StateError> {
        let user = User {
            id: Uuid::now_v7(),
            name: new.name,
            roles: new.roles,
            logins: new.logins,
            created: new.created,
            locked: None,
            password: false,
            totp: false,
            provider,
        };
        let roles = as_json(&user.roles)?;
        let logins = user.logins.as_ref().map(as_json).transpose()?;
        let provider = user.provider.as_ref();
        let issuer = provider.map(|provider| provider.issuer.as_str());
        let subject = provider.map(|provider| provider.subject.as_str());
        let sql = "INSERT INTO users (id, name, folded, roles, logins, created, totp_step, issuer,
                                      subject)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let (name, folded, created) = (user.name.as_str(), user.name.folded(), user.created);
        let row = values![
            user.id, name, folded, roles, logins, created, 0_u64, issuer, subject
        ];
        match self.database.write(|tx| tx.execute(sql, row))? {
            0 => Err(StateError::NameTaken(user.name.to_string())),
            _ => Ok(user),
        }
    }

    /// The user of a name, whatever its case.
    ///
    /// # Errors
    /// Those of the database.
    pub fn get(&self, name: &str) -> Result<Option<User>, StateError> {
        // What cannot be a name is nobody's.
        let Ok(name) = name.parse::<UserName>() else {
            return Ok(None);
        };
        self.find("users.folded = $1", values![name.folded()])
    }

    /// The user of an id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_id(&self, id: Uuid) -> Result<Option<User>, StateError> {
        self.find("users.id = $1", values![id])
    }

    /// All users, by their names.
    ///
    /// # Errors
    /// Those of the database.
    pub fn list(&self) -> Result<Vec<User>, StateError> {
        let sql = format!("SELECT {USER_COLUMNS} FROM users ORDER BY users.folded");
        let rows = self.database.query(&sql, &[])?;
        rows.iter().map(read_user).collect()
    }

    /// The users whose names come after this one, whatever its case, at most `limit`, by their names.
    ///
    /// # Errors
    /// Those of the database.
    pub fn page(&self, after: &str, limit: usize) -> Result<Vec<User>, StateError> {
        let sql = format!(
            "SELECT {USER_COLUMNS} FROM users WHERE users.folded > $1
             ORDER BY users.folded LIMIT $2"
        );
        let after = after.to_ascii_lowercase();
        let rows = self.database.query(&sql, values![after, limit])?;
        rows.iter().map(read_user).collect()
    }

    /// Gives a user other roles and logins, and announces that for the user's sign-ins; `false` if there
    /// is no such user.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set_access(
        &self,
        id: Uuid,
        roles: &[String],
        logins: Option<&[Login]>,
        now: u64,
    ) -> Result<bool, StateError> {
        let roles = as_json(&roles)?;
        let logins = logins.map(|logins| as_json(&logins)).transpose()?;
        let sql = "UPDATE users SET roles = $1, logins = $2 WHERE id = $3";
        let row = values![roles, logins, id];
        self.database.write(|tx| {
            let is_there = tx.execute(sql, row)? == 1;
            announce_access(tx, id, now)?;
            Ok(is_there)
        })
    }

    /// Locks a user, and ends the user's sign-ins; gives those that have ended. The reason of an earlier
    /// lock is replaced.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`], or those of the database.
    pub fn set_locked(&self, id: Uuid, lock: &Lock) -> Result<Vec<Uuid>, StateError> {
        let sql = "UPDATE users SET locked = $1, lock_reason = $2, locked_by = $3 WHERE id = $4";
        let row = values![lock.since, &lock.reason, &lock.by, id];
        self.database.write(|tx| {
            if tx.execute(sql, row)? == 0 {
                return Err(StateError::NoSuchUser);
            }
            end_sign_ins(tx, &SignInsOf::User(id), SignInEnd::Locked, lock.since)
        })
    }

    /// Lets a user sign in again; `false` if the user was not locked.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unlock(&self, id: Uuid) -> Result<bool, StateError> {
        let sql = "UPDATE users SET locked = NULL, lock_reason = NULL, locked_by = NULL
                   WHERE id = $1 AND locked IS NOT NULL";
        Ok(self.database.write(|tx| tx.execute(sql, values![id]))? == 1)
    }

    /// Removes a user with all that belongs to the user, and ends the user's sign-ins; gives those that
    /// have ended.
    ///
    /// # Errors
    /// [`StateError::NoSuchUser`], or those of the database.
    pub fn remove(&self, id: Uuid, now: u64) -> Result<Vec<Uuid>, StateError> {
        self.database.write(|tx| {
            let ended = end_sign_ins(tx, &SignInsOf::User(id), SignInEnd::Removed, now)?;
            match tx.execute("DELETE FROM users WHERE id = $1", values![id])? {
                0 => Err(StateError::NoSuchUser),
                _ => Ok(ended),
            }
        })
    }

    pub(super) fn find(
        &self,
        condition: &str,
        values: &[SqlValue],
    ) -> Result<Option<User>, StateError> {
        let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE {condition}");
        let row = self.database.first(&sql, values)?;
        row.as_ref().map(read_user).transpose()
    }
}

/// Reads the columns [`USER_COLUMNS`], which stand in front.
pub(super) fn read_user(row: &Row) -> Result<User, StateError> {
    let locked = match row.optional_number(5)? {
        Some(since) => Some(Lock {
            since,
            reason: row.optional_text(6)?.unwrap_or_default().to_owned(),
            by: row.optional_text(7)?.unwrap_or_default().to_owned(),
        }),
        None => None,
    };
    let logins = match row.optional_text(3)? {
        Some(_) => Some(row.json(3)?),
        None => None,
    };
    let provider = match (row.optional_text(10)?, row.optional_text(11)?) {
        (Some(issuer), Some(subject)) => Some(ProviderSubject {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        }),
        _ => None,
    };
    Ok(User {
        id: row.parsed(0)?,
        name: row.parsed(1)?,
        roles: row.json(2)?,
        logins,
        created: row.number(4)?,
        locked,
        password: row.text(8)? == "yes",
        totp: row.text(9)? == "yes",
        provider,
    })
}

/// Whether a user may sign in: is there, and is not locked.
pub(super) fn may_sign_in(tx: &mut dyn Transaction, id: Uuid) -> Result<bool, StateError> {
    let sql = "SELECT COUNT(*) FROM users WHERE id = $1 AND locked IS NULL";
    Ok(tx.number(sql, values![id])? == 1)
}
