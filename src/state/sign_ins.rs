//! Sign-ins: which user has signed in with which key, from where, and until when.

use uuid::Uuid;

use super::db::{Database, Row, Transaction, values};
use super::ends::{ACCESS_CHANGED, SignInsOf, end_sign_ins};
use super::error::StateError;
use super::users::{USER_COLUMNS, USER_WIDTH, User, may_sign_in, read_user};
use crate::ipc::{SignInChange, SignInEnd, SignInNews, UserAccess};

/// A sign-in that has not ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The id.
    pub id: Uuid,
    /// The user.
    pub user: Uuid,
    /// The key that proved itself, by its fingerprint (SHA-256); `None` for one in a browser, which has a
    /// token.
    pub fingerprint: Option<String>,
    /// The address of the client.
    pub client: String,
    /// When it began, in seconds since the epoch.
    pub started: u64,
    /// When it ends, in seconds since the epoch; the first second that does not belong to it.
    pub until: u64,
}

impl SignIn {
    /// Where the user has signed in: `ssh` or `browser`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.fingerprint {
            Some(_) => "ssh",
            None => "browser",
        }
    }
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

/// A sign-in in a browser that is to begin.
#[derive(Clone, Debug)]
pub struct NewBrowserSession {
    /// The user.
    pub user: Uuid,
    /// The hash of the browser's token, which no other sign-in has.
    pub token: String,
    /// The address of the client, without the port.
    pub client: String,
    /// Now, in seconds since the epoch.
    pub started: u64,
    /// When it is to end.
    pub until: u64,
}

/// The most sign-ins in browsers of one user. One more ends the oldest.
pub const MAX_BROWSER_SESSIONS: usize = 50;

/// The sign-ins.
#[derive(Clone, Copy, Debug)]
pub struct SignIns<'s> {
    pub(super) database: &'s Database,
}

const SIGN_IN_COLUMNS: &str = "sign_ins.id, sign_ins.user_id, sign_ins.fingerprint, \
     sign_ins.client, sign_ins.started, sign_ins.expires";

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
            note_source(tx, new.user, client, new.started)?;
            Ok(true)
        })?;
        Ok(begun.then(|| SignIn {
            id,
            user: new.user,
            fingerprint: Some(new.fingerprint.clone()),
            client: new.client.clone(),
            started: new.started,
            until: new.until,
        }))
    }

    /// Begins a sign-in in a browser; `None` if the user was removed or locked meanwhile. It comes with
    /// those that have ended for it, because the user has more than [`MAX_BROWSER_SESSIONS`].
    ///
    /// # Errors
    /// Those of the database.
    pub fn begin_in_browser(
        &self,
        new: &NewBrowserSession,
    ) -> Result<Option<(SignIn, Vec<Uuid>)>, StateError> {
        let id = Uuid::now_v7();
        let ended = self.database.write(|tx| {
            if !may_sign_in(tx, new.user)? {
                return Ok(None);
            }
            let ended = make_room(tx, new)?;
            let sql = "INSERT INTO sign_ins (id, user_id, token, client, started, expires)
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let (token, client) = (&new.token, &new.client);
            let row = values![id, new.user, token, client, new.started, new.until];
            tx.execute(sql, row)?;
            note_source(tx, new.user, client, new.started)?;
            Ok(Some(ended))
        })?;
        let sign_in = SignIn {
            id,
            user: new.user,
            fingerprint: None,
            client: new.client.clone(),
            started: new.started,
            until: new.until,
        };
        Ok(ended.map(|ended| (sign_in, ended)))
    }

    /// The sign-in of a browser, by the hash of its token, that is not over at `now`, and its user. A
    /// locked user has none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_token(&self, token: &str, now: u64) -> Result<Option<(User, SignIn)>, StateError> {
        let sql = format!(
            "SELECT {USER_COLUMNS}, {SIGN_IN_COLUMNS} FROM sign_ins
             JOIN users ON users.id = sign_ins.user_id
             WHERE sign_ins.token = $1 AND sign_ins.expires > $2 AND users.locked IS NULL"
        );
        let row = self.database.first(&sql, values![token, now])?;
        let read = |row: Row| Ok((read_user(&row)?, read_sign_in_at(&row, USER_WIDTH)?));
        row.map(read).transpose()
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

/// Remembers that a user has signed in from an address.
fn note_source(
    tx: &mut dyn Transaction,
    user: Uuid,
    client: &str,
    now: u64,
) -> Result<(), StateError> {
    let sql = "INSERT INTO sign_in_sources (user_id, client, used) VALUES ($1, $2, $3)
               ON CONFLICT (user_id, client) DO UPDATE SET used = excluded.used";
    tx.execute(sql, values![user, client, now])?;
    Ok(())
}

/// Ends the oldest sign-ins in browsers of a user, if there would be too many with one more.
fn make_room(tx: &mut dyn Transaction, new: &NewBrowserSession) -> Result<Vec<Uuid>, StateError> {
    let sql = "SELECT id FROM sign_ins WHERE user_id = $1 AND token IS NOT NULL ORDER BY id";
    let rows = tx.query(sql, values![new.user])?;
    let too_many = (rows.len() + 1).saturating_sub(MAX_BROWSER_SESSIONS);
    let mut ended = Vec::new();
    for row in rows.iter().take(too_many) {
        let which = SignInsOf::Id(row.parsed(0)?);
        ended.extend(end_sign_ins(tx, &which, SignInEnd::Logout, new.started)?);
    }
    Ok(ended)
}

fn read_sign_in(row: &Row) -> Result<SignIn, StateError> {
    read_sign_in_at(row, 0)
}

/// Reads the columns [`SIGN_IN_COLUMNS`], which begin at `first`.
fn read_sign_in_at(row: &Row, first: usize) -> Result<SignIn, StateError> {
    Ok(SignIn {
        id: row.parsed(first)?,
        user: row.parsed(first + 1)?,
        fingerprint: row.optional_text(first + 2)?.map(str::to_owned),
        client: row.text(first + 3)?.to_owned(),
        started: row.number(first + 4)?,
        until: row.number(first + 5)?,
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
