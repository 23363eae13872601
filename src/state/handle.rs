//! The state: a database that is open, with its tables.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::FailedAttempts;
use super::authorizations::Authorizations;
use super::db::{Database, Row};
use super::error::StateError;
use super::invitations::Invitations;
use super::issued::LedgerRows;
use super::keys::RegisteredKeys;
use super::meta::Meta;
use super::nodes::Nodes;
use super::place::{IfMissing, StatePlace};
use super::proxies::Proxies;
use super::revocations::RevocationRows;
use super::schema::{self, TABLES};
use super::sign_ins::SignIns;
use super::tokens::Tokens;
use super::users::Users;
use crate::metrics::StateMeters;
use crate::sys::clock::{Clock, monotonic};

/// The state: a database that is open. Copies share its connections. Every call blocks its thread, for
/// half a minute at most.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) database: Arc<Database>,
    clock: Clock,
}

/// How the state is.
#[derive(Clone, Debug)]
pub struct StateStatus {
    /// `sqlite` or `postgres`.
    pub backend: &'static str,
    /// The database, without its password.
    pub place: String,
    /// The version of its schema.
    pub schema: u64,
    /// How much room it takes up, in bytes.
    pub bytes: u64,
    /// How many rows each table has.
    pub rows: Vec<(&'static str, u64)>,
    /// How long it took to read one row.
    pub latency: Duration,
    /// What a database on a server says; `None` of a file.
    pub server: Option<StateServer>,
}

/// What the server of a database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateServer {
    /// Its clock, in seconds since the epoch.
    pub clock: u64,
    /// `synchronous_commit` in force.
    pub synchronous_commit: String,
}

impl State {
    /// Opens the state, makes a file that is missing, and brings the schema to the latest version.
    ///
    /// # Errors
    /// [`StateError::Newer`] if a later version of rproxy has changed the schema, or those of the database.
    pub fn open(place: &StatePlace, clock: Clock) -> Result<Self, StateError> {
        let database = Database::open(place, IfMissing::Make)?;
        schema::migrate(&database)?;
        let database = Arc::new(database);
        Ok(Self { database, clock })
    }

    /// Opens a state that has to be there already, and changes nothing in it: for commands beside a proxy
    /// that runs.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Older`], [`StateError::Newer`], or those of the database.
    pub fn open_existing(place: &StatePlace, clock: Clock) -> Result<Self, StateError> {
        let database = Database::open(place, IfMissing::Refuse)?;
        schema::require_latest(&database)?;
        let database = Arc::new(database);
        Ok(Self { database, clock })
    }

    /// The same; `None` if there is none yet, or one whose schema the proxy changes when it starts.
    ///
    /// # Errors
    /// [`StateError::Newer`], or those of the database.
    pub fn look(place: &StatePlace, clock: Clock) -> Result<Option<Self>, StateError> {
        match Self::open_existing(place, clock) {
            Ok(state) => Ok(Some(state)),
            Err(StateError::Missing { .. } | StateError::Older { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The clock that it was opened with.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Now, in seconds since the epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.unix_seconds()
    }

    /// What was counted about its use by this process.
    #[must_use]
    pub fn meters(&self) -> &StateMeters {
        self.database.meters()
    }

    /// How much room it takes up, in bytes.
    ///
    /// # Errors
    /// Those of the database.
    pub fn size(&self) -> Result<u64, StateError> {
        self.database.size()
    }

    /// The users, with their credentials.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users {
            database: &self.database,
        }
    }

    /// The keys that users have registered.
    #[must_use]
    pub fn keys(&self) -> RegisteredKeys<'_> {
        RegisteredKeys {
            database: &self.database,
        }
    }

    /// The sign-ins.
    #[must_use]
    pub fn sign_ins(&self) -> SignIns<'_> {
        SignIns {
            database: &self.database,
        }
    }

    /// The invitations.
    #[must_use]
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations {
            database: &self.database,
        }
    }

    /// The authorizations at the identity provider.
    #[must_use]
    pub fn authorizations(&self) -> Authorizations<'_> {
        Authorizations {
            database: &self.database,
        }
    }

    /// The tokens with which hosts join.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens {
            database: &self.database,
        }
    }

    /// The hosts that have joined, and their tunnels.
    #[must_use]
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes {
            database: &self.database,
            clock: self.clock,
        }
    }

    /// The proxies that share this state.
    #[must_use]
    pub fn proxies(&self) -> Proxies<'_> {
        Proxies {
            database: &self.database,
        }
    }

    /// The failed attempts to sign in.
    #[must_use]
    pub fn attempts(&self) -> FailedAttempts<'_> {
        FailedAttempts {
            database: &self.database,
        }
    }

    /// The rows of the ledger.
    #[must_use]
    pub fn issued(&self) -> LedgerRows<'_> {
        LedgerRows {
            database: &self.database,
        }
    }

    /// The rows of the revocations, and the marks.
    #[must_use]
    pub fn revocations(&self) -> RevocationRows<'_> {
        RevocationRows {
            database: &self.database,
        }
    }

    /// What the state knows about itself.
    #[must_use]
    pub fn meta(&self) -> Meta<'_> {
        Meta {
            database: &self.database,
        }
    }

    /// How the state is.
    ///
    /// # Errors
    /// Those of the database.
    pub fn check(&self) -> Result<StateStatus, StateError> {
        let began = monotonic();
        let schema = self.database.read(schema::version)?;
        let latency = monotonic().saturating_sub(began);
        let rows = self.database.read(|tx| {
            let mut rows = Vec::new();
            for (table, _) in TABLES {
                let sql = format!("SELECT COUNT(*) FROM {table}");
                rows.push((*table, tx.number(&sql, &[])?));
            }
            Ok(rows)
        })?;
        Ok(StateStatus {
            backend: self.database.backend(),
            place: self.database.place().to_owned(),
            schema,
            bytes: self.database.size()?,
            rows,
            latency,
            server: self.server()?,
        })
    }

    /// What the server of the database says; `None` of a file.
    fn server(&self) -> Result<Option<StateServer>, StateError> {
        if self.database.backend() != "postgres" {
            return Ok(None);
        }
        let sql = "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp())) AS BIGINT), \
                   current_setting('synchronous_commit')";
        let row = self.database.read(|tx| tx.first(sql, &[]))?;
        let read = |row: &Row| {
            Ok(StateServer {
                clock: row.number(0)?,
                synchronous_commit: row.text(1)?.to_owned(),
            })
        };
        row.as_ref().map(read).transpose()
    }
}
