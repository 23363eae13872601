//! Sign-ins: which user has signed in with which key, from where, and until when.

use uuid::Uuid;

use super::db::{Database, Row, values};
use super::ends::{ACCESS_CHANGED, SignInsOf, end_sign_ins};
use super::error::StateError;
use super::users::may_sign_in;
use crate::ipc::{SignInChange, SignInEnd, SignInNews, UserAccess};

/// A sign-in that has not ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The id.
    pub id: Uuid,
    /// The user.
    pub user: Uuid,
    /// The key that proved itself, by its fingerprint (SHA-256).
    pub fingerprint: String,
    /// The address of the client.
    pub client: String,
    /// When it began, in seconds since the epoch.
    pub started: u64,
    /// When it ends, in seconds since the epoch; the first second that does not belong to it.
    pub until: u64,
}

/// A sign-in that is to begin.
#[derive(Clone, Debug)]
pub struct NewSignIn {
    /// The user.
    pub user: Uuid,
    /// The key that has proved itself, by its fingerprint (SHA-256). It has to be registered for the user.
    pub fingerprint: String,
    /// The address of the client, without the port.
    pub client: String,
    /// Now, in seconds since the epoch.
    pub started: u64,
    /// When it is to end.
    pub until: u64,
}

/// The sign-ins.
#[derive(Clone, Copy, Debug)]
pub struct SignIns<'s> {
    pub(super) database: &'s Database,
}

const SIGN_IN_COLUMNS: &str = "id, user_id, fingerprint, client, started, expires";

impl SignIns<'_> {
    /// Begins a sign-in; `None` if the user was removed or locked meanwhile, or the key is not the user's
    /// any more.
    ///
    /// # Errors
    /// Those of the database.
    pub fn begin(&self, new: &NewSignIn) -> Result<Option<SignIn>, StateError> {
        let id = Uuid::now_v7();
        let begun = self.database.write(|tx| {
            let sql = "UPDATE registered_keys SET used = $1
                       WHERE fingerprint = $2 AND user_id = $3";
            let key = values![new.started, &new.fingerprint, new.user];
            if !may_sign_in(tx, new.user)? || tx.execute(sql, key)? == 0 {
                return Ok(false);
            }
            let sql = "INSERT INTO sign_ins (id, user_id, fingerprint, client, started, expires)
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let (fingerprint, client) = (&new.fingerprint, &new.client);
            let row = values![id, new.user, fingerprint, client, new.started, new.until];
            tx.execute(sql, row)?;
            let sql = "INSERT INTO sign_in_sources (user_id, client, used) VALUES ($1, $2, $3)
                       ON CONFLICT (user_id, client) DO UPDATE SET used = excluded.used";
            tx.execute(sql, values![new.user, client, new.started])?;
            Ok(true)
        })?;
        Ok(begun.then(|| SignIn {
            id,
            user: new.user,
            fingerprint: new.fingerprint.clone(),
            client: new.client.clone(),
            started: new.started,
            until: new.until,
        }))
    }

    /// The sign-in of a user with a key that is not over at `now`; of several, the one that lasts longest.
    /// A locked user has none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn live(
        &self,
        user: Uuid,
        fingerprint: &str,
        now: u64,
    ) -> Result<Option<SignIn>, StateError> {
        let sql = format!(
            "SELECT {SIGN_IN_COLUMNS} FROM sign_ins
             WHERE user_id = $1 AND fingerprint = $2 AND expires > $3 ORDER BY expires DESC LIMIT 1"
        );
        let row = values![user, fingerprint, now];
        let row = self.database.first(&sql, row)?;
        row.as_ref().map(read_sign_in).transpose()
    }

    /// The sign-ins of a user that are not over at `now`, the oldest first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_user(&self, user: Uuid, now: u64) -> Result<Vec<SignIn>, StateError> {
        let sql = format!(
            "SELECT {SIGN_IN_COLUMNS} FROM sign_ins WHERE user_id = $1 AND expires > $2
             ORDER BY started, id"
        );
        let rows = self.database.query(&sql, values![user, now])?;
        rows.iter().map(read_sign_in).collect()
    }

    /// How many sign-ins of all users are not over at `now`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count(&self, now: u64) -> Result<u64, StateError> {
        let sql = "SELECT COUNT(*) FROM sign_ins WHERE expires > $1";
        self.database.read(|tx| tx.number(sql, values![now]))
    }

    /// Ends sign-ins; gives those that have ended. Each is ended once, whichever process is first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn end(
        &self,
        which: &SignInsOf,
        reason: SignInEnd,
        now: u64,
    ) -> Result<Vec<Uuid>, StateError> {
        self.database
            .write(|tx| end_sign_ins(tx, which, reason, now))
    }

    /// The changes after the one with this number, at most `limit`, in the order of their numbers. What a
    /// user may do is told as it is now, and no longer if the sign-in is over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn since(&self, number: u64, limit: usize) -> Result<Vec<SignInChange>, StateError> {
        let sql = "SELECT sign_in_ends.number, sign_in_ends.sign_in, sign_in_ends.reason,
                          users.roles, users.logins
                   FROM sign_in_ends
                   LEFT JOIN sign_ins ON sign_ins.id = sign_in_ends.sign_in
                   LEFT JOIN users ON users.id = sign_ins.user_id
                   WHERE sign_in_ends.number > $1
                     AND (sign_in_ends.reason <> $3 OR users.id IS NOT NULL)
                   ORDER BY sign_in_ends.number LIMIT $2";
        let row = values![number, limit, ACCESS_CHANGED];
        let rows = self.database.query(sql, row)?;
        rows.iter().map(read_change).collect()
    }

    /// The number of the last change; 0 if there was none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_end(&self) -> Result<u64, StateError> {
        let sql = "SELECT value FROM counters WHERE name = 'sign-in-end'";
        self.database.number(sql, &[])
    }

    /// Whether a user has signed in from an address after `since`, in seconds since the epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub fn was_from(&self, user: Uuid, client: &str, since: u64) -> Result<bool, StateError> {
        let sql = "SELECT COUNT(*) FROM sign_in_sources
                   WHERE user_id = $1 AND client = $2 AND used > $3";
        let row = values![user, client, since];
        Ok(self.database.number(sql, row)? > 0)
    }

    /// Forgets ends that were written, and addresses that were used, before `moment`, in seconds since the
    /// epoch.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_before(&self, moment: u64) -> Result<(), StateError> {
        self.database.write(|tx| {
            tx.execute("DELETE FROM sign_in_ends WHERE at < $1", values![moment])?;
            tx.execute(
                "DELETE FROM sign_in_sources WHERE used < $1",
                values![moment],
            )?;
            Ok(())
        })
    }
}

fn read_sign_in(row: &Row) -> Result<SignIn, StateError> {
    Ok(SignIn {
        id: row.parsed(0)?,
        user: row.parsed(1)?,
        fingerprint: row.text(2)?.to_owned(),
        client: row.text(3)?.to_owned(),
        started: row.number(4)?,
        until: row.number(5)?,
    })
}

fn read_change(row: &Row) -> Result<SignInChange, StateError> {
    let name = row.text(2)?;
    let what = match name == ACCESS_CHANGED {
        true => SignInNews::Access(UserAccess {
            roles: row.json(3)?,
            logins: match row.optional_text(4)? {
                Some(_) => Some(row.json(4)?),
                None => None,
            },
        }),
        false => {
            let reason = SignInEnd::ALL.into_iter().find(|end| end.name() == name);
            // One of a later version: the sign-in is over all the same.
            SignInNews::Ended(reason.unwrap_or(SignInEnd::Logout))
        }
    };
    Ok(SignInChange {
        number: row.number(0)?,
        id: row.parsed(1)?,
        what,
    })
}
