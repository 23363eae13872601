//! Authorizations at the identity provider: what a terminal waits for, while a browser is on its way
//! there and back. All of it is here, so that the browser may come back to another process or another
//! proxy. The state has hashes of what the browser and the person bring.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Database, Row, Transaction, as_json, values};
use super::error::StateError;
use super::users::ProviderSubject;

/// An authorization that begins.
#[derive(Clone)]
pub struct NewAuthorization {
    /// The hash of the last part of the link.
    pub ticket: String,
    /// The hash of what the provider gives back.
    pub state: String,
    /// What the ID token has to contain.
    pub nonce: Zeroizing<String>,
    /// What the token request has to contain (RFC 7636).
    pub verifier: Zeroizing<String>,
    /// The connection of the terminal.
    pub connection: String,
    /// The address of its client, with the port.
    pub client: String,
    /// The network by which authorizations are counted.
    pub source: String,
    /// Now, in seconds since the epoch.
    pub created: u64,
    /// The first second in which it is of no use any more.
    pub expires: u64,
}

impl std::fmt::Debug for NewAuthorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewAuthorization({})", self.client)
    }
}

/// How many authorizations may wait at a time.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationLimits {
    /// Those of one source. Further ones are refused.
    pub of_source: u64,
    /// All. A further one takes the place of the oldest one of the source that has most.
    pub in_all: u64,
}

/// An authorization whose browser is on its way.
#[derive(Clone)]
pub struct PendingAuthorization {
    /// The id.
    pub id: Uuid,
    /// What the ID token has to contain.
    pub nonce: Zeroizing<String>,
    /// What the token request has to contain (RFC 7636).
    pub verifier: Zeroizing<String>,
    /// The connection of the terminal.
    pub connection: String,
    /// The address of its client, with the port.
    pub client: String,
}

impl std::fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PendingAuthorization({})", self.id)
    }
}

/// How far an authorization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationProgress {
    /// The browser has not come back.
    Waiting,
    /// The browser has come back, and there is no code: it was refused, or is looked at.
    Returned,
    /// There is a code.
    Answered,
}

/// Whom the provider has vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VouchedSubject {
    /// Who it is.
    pub subject: ProviderSubject,
    /// The name that the provider gives.
    pub name: String,
    /// The roles that its claims give.
    pub roles: Vec<String>,
}

/// The authorizations.
#[derive(Clone, Copy, Debug)]
pub struct Authorizations<'s> {
    pub(super) database: &'s Database,
}

const PENDING_COLUMNS: &str = "id, nonce, verifier, connection, client";

impl Authorizations<'_> {
    /// Writes down an authorization that begins; `None` if its source has as many as it may.
    ///
    /// # Errors
    /// Those of the database.
    pub fn begin(
        &self,
        new: &NewAuthorization,
        limits: AuthorizationLimits,
    ) -> Result<Option<Uuid>, StateError> {
        // Counted apart: of several at once, a few more than the limit can get in, and none waits for
        // another.
        let now = new.created;
        let (of_source, in_all) = self.database.read(|tx| {
            let sql = "SELECT COUNT(*) FROM authorizations WHERE source = $1 AND expires > $2";
            let of_source = tx.number(sql, values![&new.source, now])?;
            let in_all = tx.number("SELECT COUNT(*) FROM authorizations", &[])?;
            Ok((of_source, in_all))
        })?;
        if of_source >= limits.of_source {
            return Ok(None);
        }
        let id = Uuid::now_v7();
        self.database.write(|tx| {
            if in_all >= limits.in_all {
                make_room(tx, now)?;
            }
            let sql = "INSERT INTO authorizations (id, ticket, state, nonce, verifier, connection,
                                                   client, source, created, expires)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
            let (nonce, verifier) = (new.nonce.as_str(), new.verifier.as_str());
            let (ticket, state, connection) = (&new.ticket, &new.state, &new.connection);
            let (client, source, expires) = (&new.client, &new.source, new.expires);
            let row = values![
                id, ticket, state, nonce, verifier, connection, client, source, now, expires
            ];
            tx.execute(sql, row)
        })?;
        Ok(Some(id))
    }

    /// The authorization of a link whose browser has not come back.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of_ticket(
        &self,
        ticket: &str,
        now: u64,
    ) -> Result<Option<PendingAuthorization>, StateError> {
        let sql = format!(
            "SELECT {PENDING_COLUMNS} FROM authorizations
             WHERE ticket = $1 AND expires > $2 AND returned IS NULL"
        );
        let row = self
            .database
            .read(|tx| tx.first(&sql, values![ticket, now]))?;
        row.as_ref().map(read_pending).transpose()
    }

    /// The browser has come back with this: gives its authorization once, and not after its time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn take_returned(
        &self,
        state: &str,
        now: u64,
    ) -> Result<Option<PendingAuthorization>, StateError> {
        let sql = format!(
            "UPDATE authorizations SET returned = $1
             WHERE state = $2 AND expires > $1 AND returned IS NULL RETURNING {PENDING_COLUMNS}"
        );
        let row = self
            .database
            .write(|tx| tx.first(&sql, values![now, state]))?;
        row.as_ref().map(read_pending).transpose()
    }

    /// Writes down whom the provider has vouched for, and the hash of the code: `true` once, after the
    /// browser has come back, and not after the authorization's time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn answer(
        &self,
        id: Uuid,
        code: &str,
        vouched: &VouchedSubject,
        now: u64,
    ) -> Result<bool, StateError> {
        let sql = "UPDATE authorizations SET code = $1, issuer = $2, subject = $3, name = $4,
                                             roles = $5
                   WHERE id = $6 AND expires > $7 AND returned IS NOT NULL AND code IS NULL";
        let ProviderSubject { issuer, subject } = &vouched.subject;
        let roles = as_json(&vouched.roles)?;
        let row = values![code, issuer, subject, &vouched.name, roles, id, now];
        Ok(self.database.write(|tx| tx.execute(sql, row))? == 1)
    }

    /// How far an authorization is; `None` if it is over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn progress(
        &self,
        id: Uuid,
        now: u64,
    ) -> Result<Option<AuthorizationProgress>, StateError> {
        let sql = "SELECT CASE WHEN code IS NOT NULL THEN 'answered'
                               WHEN returned IS NOT NULL THEN 'returned' ELSE 'waiting' END
                   FROM authorizations WHERE id = $1 AND expires > $2";
        let row = self.database.read(|tx| tx.first(sql, values![id, now]))?;
        let read = |row: Row| {
            Ok(match row.text(0)? {
                "answered" => AuthorizationProgress::Answered,
                "returned" => AuthorizationProgress::Returned,
                _ => AuthorizationProgress::Waiting,
            })
        };
        row.map(read).transpose()
    }

    /// Spends a code, by its hash: gives whom the provider has vouched for, once, and not after the
    /// authorization's time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn spend(
        &self,
        id: Uuid,
        code: &str,
        now: u64,
    ) -> Result<Option<VouchedSubject>, StateError> {
        let sql = "DELETE FROM authorizations WHERE id = $1 AND code = $2 AND expires > $3
                   RETURNING issuer, subject, name, roles";
        let row = self
            .database
            .write(|tx| tx.first(sql, values![id, code, now]))?;
        row.as_ref().map(read_vouched).transpose()
    }

    /// Ends an authorization: neither its link nor its code is of use any more.
    ///
    /// # Errors
    /// Those of the database.
    pub fn remove(&self, id: Uuid) -> Result<(), StateError> {
        let sql = "DELETE FROM authorizations WHERE id = $1";
        self.database.write(|tx| tx.execute(sql, values![id]))?;
        Ok(())
    }

    /// Removes those whose time is over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn sweep(&self, now: u64) -> Result<(), StateError> {
        self.database.write(|tx| sweep(tx, now))
    }
}

fn sweep(tx: &mut dyn Transaction, now: u64) -> Result<(), StateError> {
    let sql = "DELETE FROM authorizations WHERE expires <= $1";
    tx.execute(sql, values![now]).map(|_rows| ())
}

/// Removes those whose time is over, and the oldest one of the source that has most.
fn make_room(tx: &mut dyn Transaction, now: u64) -> Result<(), StateError> {
    sweep(tx, now)?;
    let sql = "DELETE FROM authorizations WHERE id IN (
                   SELECT id FROM authorizations WHERE source = (
                       SELECT source FROM authorizations GROUP BY source
                       ORDER BY COUNT(*) DESC, source LIMIT 1)
                   ORDER BY created, id LIMIT 1)";
    tx.execute(sql, &[]).map(|_rows| ())
}

fn read_pending(row: &Row) -> Result<PendingAuthorization, StateError> {
    Ok(PendingAuthorization {
        id: row.parsed(0)?,
        nonce: Zeroizing::new(row.text(1)?.to_owned()),
        verifier: Zeroizing::new(row.text(2)?.to_owned()),
        connection: row.text(3)?.to_owned(),
        client: row.text(4)?.to_owned(),
    })
}

fn read_vouched(row: &Row) -> Result<VouchedSubject, StateError> {
    Ok(VouchedSubject {
        subject: ProviderSubject {
            issuer: row.text(0)?.to_owned(),
            subject: row.text(1)?.to_owned(),
        },
        name: row.text(2)?.to_owned(),
        roles: row.json(3)?,
    })
}
