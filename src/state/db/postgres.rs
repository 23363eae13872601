//! PostgreSQL: a small number of connections, which are made again when they break.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, Error, NoTls, Statement};

use super::tls::PostgresTls;
use super::value::{Row, SqlValue, Transaction};
use crate::model::PostgresUrl;
use crate::state::error::StateError;
use crate::state::place::PostgresAddress;
use crate::sys::clock::monotonic;

/// How many connections one process has at most.
const MOST_CONNECTIONS: usize = 8;
/// How long a thread waits for one of them.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the operating system waits for the server to confirm what was sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long without a word the operating system asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How often a transaction is tried when others get in its way.
const MOST_ATTEMPTS: u32 = 12;
/// From which attempt on a change has the database for itself.
const ALONE_FROM: u32 = 3;
/// How many statements a connection keeps prepared.
const MOST_STATEMENTS: usize = 200;

/// What each connection is told. The server ends what takes longer: a process that was stopped holds no
/// others up.
const SETTINGS: &str = "SET statement_timeout = '15s'; SET lock_timeout = '10s'; \
                        SET idle_in_transaction_session_timeout = '15s'; \
                        SET client_min_messages = 'warning'";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The lock is taken before the transaction's snapshot; it only waits for a change that is made alone.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE meta IN ROW SHARE MODE";
/// The snapshot is made when no other change is in progress, so none can get in its way.
const BEGIN_ALONE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE meta IN EXCLUSIVE MODE";
/// The number is the lock of all that change this program's schema in the database.
const BEGIN_SCHEMA: &str = "BEGIN; SELECT pg_advisory_xact_lock(8243122744829469817)";

/// A database of PostgreSQL with its connections.
#[derive(Debug)]
pub(in crate::state) struct PostgresDatabase {
    /// With the password.
    config: Config,
    tls: Option<PostgresTls>,
    place: String,
    pool: Mutex<PostgresPool>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct PostgresPool {
    idle: Vec<PostgresConnection>,
    in_use: usize,
}

struct PostgresConnection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl std::fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresConnection(..)")
    }
}

/// What a failed transaction allows.
enum Failed {
    /// Another transaction was in its way, and nothing has changed.
    InTheWay(StateError),
    /// The connection is broken, and nothing has changed.
    Broken(StateError),
    /// There is nothing to be gained by another attempt.
    Final(StateError),
}

impl PostgresDatabase {
    /// Makes the first connection.
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, StateError> {
        let PostgresAddress { config, tls, roots } = PostgresAddress::of(url)?;
        let database = Self {
            config,
            tls: PostgresTls::new(tls, roots.as_deref())?,
            place: url.to_string(),
            pool: Mutex::default(),
            returned: Condvar::new(),
        };
        let connection = database.connect()?;
        database.pool().idle.push(connection);
        Ok(database)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn read<T>(
        &self,
        read: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.retry(|_attempt| Some(BEGIN_READ), read)
    }

    /// Carries out one statement that reads.
    pub(super) fn statement<T>(
        &self,
        ask: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.retry(|_attempt| None, ask)
    }

    pub(super) fn write<T>(
        &self,
        write: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let begin = |attempt| match attempt {
            ..ALONE_FROM => Some(BEGIN_WRITE),
            _ => Some(BEGIN_ALONE),
        };
        self.retry(begin, write)
    }

    pub(super) fn change_schema<T>(
        &self,
        change: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.retry(|_attempt| Some(BEGIN_SCHEMA), change)
    }

    pub(super) fn size(&self) -> Result<u64, StateError> {
        let sql = "SELECT pg_database_size(current_database())";
        self.read(&mut |transaction| transaction.number(sql, &[]))
    }

    /// Tries again where another transaction was in the way, and once with a new connection where one that
    /// was kept turns out to be broken.
    fn retry<T>(
        &self,
        begin: impl Fn(u32) -> Option<&'static str>,
        work: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut attempt = 0;
        let mut was_broken = false;
        loop {
            let mut connection = self.take()?;
            let done = connection.transaction(&self.place, begin(attempt), work);
            let is_broken = connection.client.is_closed();
            self.put_back((!is_broken).then_some(connection));
            match done {
                Ok(value) => return Ok(value),
                Err(Failed::InTheWay(_)) if attempt < MOST_ATTEMPTS => {
                    attempt += 1;
                    back_off(attempt);
                }
                Err(Failed::Broken(_)) if !was_broken => {
                    was_broken = true;
                    // The others are as old, and break for the same reason.
                    self.pool().idle.clear();
                }
                Err(Failed::InTheWay(error) | Failed::Broken(error) | Failed::Final(error)) => {
                    return Err(error);
                }
            }
        }
    }

    fn take(&self) -> Result<PostgresConnection, StateError> {
        let until = monotonic() + PATIENCE;
        let mut pool = self.pool();
        loop {
            if let Some(connection) = pool.idle.pop() {
                pool.in_use += 1;
                return Ok(connection);
            }
            if pool.in_use < MOST_CONNECTIONS {
                pool.in_use += 1;
                drop(pool);
                let made = self.connect();
                if made.is_err() {
                    self.put_back(None);
                }
                return made;
            }
            let left = until.saturating_sub(monotonic());
            if left.is_zero() {
                return Err(StateError::Busy {
                    place: self.place.clone(),
                    reason: format!("all {MOST_CONNECTIONS} connections are in use"),
                });
            }
            pool = self
                .returned
                .wait_timeout(pool, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn put_back(&self, connection: Option<PostgresConnection>) {
        let mut pool = self.pool();
        pool.in_use = pool.in_use.saturating_sub(1);
        pool.idle.extend(connection);
        drop(pool);
        self.returned.notify_one();
    }

    fn pool(&self) -> MutexGuard<'_, PostgresPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<PostgresConnection, StateError> {
        let failed = |error| failure(&self.place, &error);
        let mut config = self.config.clone();
        config.application_name("rproxy");
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(SEND_TIMEOUT);
        config.keepalives_idle(KEEPALIVE);
        let connected = match &self.tls {
            Some(tls) => config.connect(tls.clone()),
            None => config.connect(NoTls),
        };
        let mut client = connected.map_err(|error| {
            // Also what the server refuses at this point can be over soon: it starts, or it stops.
            StateError::Unreachable {
                place: self.place.clone(),
                reason: text_of(&error),
            }
        })?;
        client.batch_execute(SETTINGS).map_err(failed)?;
        let shown = client.query_one("SHOW synchronous_commit", &[]);
        let shown: String = shown.and_then(|row| row.try_get(0)).map_err(failed)?;
        if shown == "off" {
            return Err(StateError::Unsafe {
                place: self.place.clone(),
                setting: "synchronous_commit=off".to_owned(),
            });
        }
        Ok(PostgresConnection {
            client,
            statements: HashMap::new(),
        })
    }
}

impl PostgresConnection {
    /// Carries out one transaction, or one statement without a beginning. It is over when this returns, or
    /// the connection is closed.
    fn transaction<T>(
        &mut self,
        place: &str,
        begin: Option<&str>,
        work: &mut dyn FnMut(&mut dyn Transaction) -> Result<T, StateError>,
    ) -> Result<T, Failed> {
        let mut transaction = PostgresTransaction {
            connection: self,
            place,
            failure: None,
        };
        let done = begin.map_or(Ok(()), |begin| transaction.batch(begin));
        let done = done.and_then(|()| work(&mut transaction));
        let done = done.and_then(|value| match transaction.failure {
            // The server would take the confirmation of a failed transaction for its end.
            Some(_) => Err(StateError::Refused {
                place: place.to_owned(),
                reason: "a statement has failed".to_owned(),
            }),
            None => Ok(value),
        });
        let is_confirming = done.is_ok() && begin.is_some();
        let done = match is_confirming {
            true => done.and_then(|value| transaction.batch("COMMIT").map(|()| value)),
            false => done,
        };
        let cause = transaction.failure;
        let error = match done {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if self.client.is_closed() || cause == Some(Cause::Connection) {
            return Err(match is_confirming {
                true => Failed::Final(unconfirmed(place, &error)),
                false => Failed::Broken(error),
            });
        }
        // A failed COMMIT has ended the transaction, and one statement has none; ROLLBACK is a warning then.
        if self.client.batch_execute("ROLLBACK").is_err() && !is_confirming {
            return Err(Failed::Broken(error));
        }
        Err(match cause {
            Some(Cause::Conflict) => Failed::InTheWay(error),
            _ => Failed::Final(error),
        })
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        if self.statements.len() >= MOST_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// What kind of failure the server or the connection has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Conflict,
    Connection,
    Other,
}

struct PostgresTransaction<'c> {
    connection: &'c mut PostgresConnection,
    place: &'c str,
    /// The last failure.
    failure: Option<Cause>,
}

impl PostgresTransaction<'_> {
    fn failed(&mut self, error: &Error) -> StateError {
        self.failure = Some(cause(error));
        failure(self.place, error)
    }
}

impl Transaction for PostgresTransaction<'_> {
    fn execute(&mut self, sql: &str, values: &[SqlValue]) -> Result<u64, StateError> {
        #[cfg(test)]
        crate::state::testing::statements::note(sql, values);
        let statement = match self.connection.prepared(sql) {
            Ok(statement) => statement,
            Err(error) => return Err(self.failed(&error)),
        };
        let values: Vec<_> = values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        let done = self.connection.client.execute(&statement, &values);
        done.map_err(|error| self.failed(&error))
    }

    fn lift_time_limits(&mut self) -> Result<(), StateError> {
        self.batch(
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
    }

    fn each(
        &mut self,
        sql: &str,
        values: &[SqlValue],
        on_row: &mut dyn FnMut(Row) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        #[cfg(test)]
        crate::state::testing::statements::note(sql, values);
        let statement = match self.connection.prepared(sql) {
            Ok(statement) => statement,
            Err(error) => return Err(self.failed(&error)),
        };
        let types: Vec<_> = statement
            .columns()
            .iter()
            .map(|c| c.type_().clone())
            .collect();
        let values = values.iter().map(|v| v as &(dyn ToSql + Sync));
        let mut found = Ok(());
        let read = (|| {
            let mut rows = self.connection.client.query_raw(&statement, values)?;
            while let Some(row) = rows.next()? {
                found = on_row(values_of(&row, &types)?);
                if found.is_err() {
                    break;
                }
            }
            Ok(())
        })();
        read.map_err(|error: Error| self.failed(&error))?;
        found
    }

    fn batch(&mut self, sql: &str) -> Result<(), StateError> {
        let done = self.connection.client.batch_execute(sql);
        done.map_err(|error| self.failed(&error))
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StateError> {
        let sql = "SELECT COUNT(*) FROM pg_catalog.pg_tables \
                   WHERE schemaname = current_schema() AND tablename = $1";
        Ok(self.number(sql, &[SqlValue::from(name)])? > 0)
    }
}

fn values_of(row: &postgres::Row, types: &[Type]) -> Result<Row, Error> {
    let column = |(column, kind): (usize, &Type)| {
        if *kind == Type::INT8 {
            let number: Option<i64> = row.try_get(column)?;
            return Ok(number.map_or(SqlValue::Null, SqlValue::Integer));
        }
        let text: Option<String> = row.try_get(column)?;
        Ok(SqlValue::from(text))
    };
    let values: Result<_, Error> = types.iter().enumerate().map(column).collect();
    Ok(Row(values?))
}

impl ToSql for SqlValue {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.as_str().to_sql(kind, out),
        }
    }

    /// The schema has no other types, and `name` is that of the catalog's names.
    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::VARCHAR, Type::NAME].contains(kind)
    }

    to_sql_checked!();
}

/// Waits for a random time, which grows with each attempt: those that were in each other's way are not
/// again.
fn back_off(attempt: u32) {
    let most = (1_u64 << attempt.min(6)) * 1_000;
    let wait = rand::random::<u64>() % most;
    std::thread::sleep(Duration::from_micros(wait));
}

fn cause(error: &Error) -> Cause {
    let Some(state) = error.code() else {
        return match error.is_closed() || error.source().is_some_and(|e| e.is::<std::io::Error>()) {
            true => Cause::Connection,
            false => Cause::Other,
        };
    };
    if *state == SqlState::T_R_SERIALIZATION_FAILURE || *state == SqlState::T_R_DEADLOCK_DETECTED {
        return Cause::Conflict;
    }
    let is_going = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    match is_going.contains(state) || state.code().starts_with("08") {
        true => Cause::Connection,
        false => Cause::Other,
    }
}

/// What the server says, as an operator reads it.
fn failure(place: &str, error: &Error) -> StateError {
    let (place, reason) = (place.to_owned(), text_of(error));
    match (cause(error), error.code()) {
        (Cause::Connection, _) => StateError::Unreachable { place, reason },
        (Cause::Conflict, _) => StateError::Busy { place, reason },
        (Cause::Other, Some(state)) => match state.code() {
            // disk_full, out_of_memory, too_many_connections and their relatives
            "53100" | "53200" | "53400" => StateError::Full { place, reason },
            // lock_not_available, query_canceled
            "55P03" | "57014" | "53300" => StateError::Busy { place, reason },
            // read_only_sql_transaction, insufficient_privilege
            "25006" | "42501" => StateError::ReadOnly { place, reason },
            // data_corrupted, index_corrupted
            "XX001" | "XX002" => StateError::Damaged { place, reason },
            _ => StateError::Refused { place, reason },
        },
        (Cause::Other, None) => StateError::Refused { place, reason },
    }
}

fn unconfirmed(place: &str, error: &StateError) -> StateError {
    let reason = match error {
        StateError::Unreachable { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    StateError::Unconfirmed {
        place: place.to_owned(),
        reason,
    }
}

/// The server's message, without the values of a statement; or what the operating system says.
fn text_of(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
