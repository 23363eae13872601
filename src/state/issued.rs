//! The rows of the ledger: every certificate that the CAs have issued.

use chrono::{DateTime, Utc};

use super::db::{Database, Row, SqlValue, Transaction, as_json, values};
use super::error::StateError;
use crate::ca::{CaKind, IssueRecord, IssuedFor};
use crate::model::Serial;

/// Where a page of the ledger ends: the time of its last row in microseconds, and its serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEnd {
    time: u64,
    serial: String,
}

impl PageEnd {
    /// The end of a page whose last row this is.
    #[must_use]
    pub fn of(last: &IssueRecord) -> Self {
        Self {
            time: microseconds(last.time),
            serial: last.serial.to_string(),
        }
    }
}

/// Which rows are wanted: those for which all that is given is true.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter {
    /// Certificates of this CA.
    pub kind: Option<CaKind>,
    /// Issued for this.
    pub issued_for: Option<IssuedFor>,
    /// With this key id.
    pub key_id: Option<String>,
    /// With this serial.
    pub serial: Option<Serial>,
    /// For the key of this fingerprint (SHA-256).
    pub public_key: Option<String>,
    /// That are valid at this moment or later, in seconds since the epoch.
    pub valid_after: Option<u64>,
    /// Issued at this moment or later.
    pub since: Option<DateTime<Utc>>,
}

/// The rows of the ledger. None is ever changed or removed.
#[derive(Clone, Copy, Debug)]
pub struct LedgerRows<'s> {
    pub(super) database: &'s Database,
}

const COLUMNS: &str = "how, serial, kind, key_id, time, principals, valid_after, valid_before, \
                       public_key, ca, critical_options";

impl LedgerRows<'_> {
    /// Writes down a certificate; `false`, and nothing is written, if there is one with its serial. The
    /// time is kept in microseconds.
    ///
    /// # Errors
    /// Those of the database.
    pub fn add(&self, record: &IssueRecord) -> Result<bool, StateError> {
        self.database.write(|tx| insert(tx, record))
    }

    /// Whether there is a certificate with this serial.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has(&self, serial: Serial) -> Result<bool, StateError> {
        let sql = "SELECT COUNT(*) FROM issued WHERE serial = $1";
        let serial = serial.to_string();
        Ok(self.database.number(sql, values![&serial])? > 0)
    }

    /// The fingerprint of the CA that has issued the last certificate of this kind.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_ca(&self, kind: CaKind) -> Result<Option<String>, StateError> {
        let sql = "SELECT ca FROM issued WHERE kind = $1 ORDER BY time DESC, serial DESC LIMIT 1";
        let kind = kind.to_string();
        let row = self.database.first(sql, values![&kind])?;
        row.map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// Those of the database.
    pub fn count(&self, filter: &LedgerFilter) -> Result<u64, StateError> {
        let (condition, row) = condition(filter);
        let sql = format!("SELECT COUNT(*) FROM issued WHERE {condition}");
        self.database.number(&sql, &row)
    }

    /// The next rows after the end of a page, at most `limit`, in the order of issue.
    ///
    /// # Errors
    /// Those of the database.
    pub fn page(
        &self,
        filter: &LedgerFilter,
        after: Option<&PageEnd>,
        limit: usize,
    ) -> Result<Vec<IssueRecord>, StateError> {
        let (mut condition, mut row) = condition(filter);
        if let Some(after) = after {
            let (time, serial) = (row.len() + 1, row.len() + 2);
            condition +=
                &format!(" AND (time > ${time} OR (time = ${time} AND serial > ${serial}))");
            row.extend_from_slice(values![after.time, &after.serial]);
        }
        row.push(SqlValue::from(limit));
        let sql = format!(
            "SELECT {COLUMNS} FROM issued WHERE {condition} ORDER BY time, serial LIMIT ${}",
            row.len()
        );
        let rows = self.database.query(&sql, &row)?;
        rows.iter().map(read_issued).collect()
    }
}

/// Adds a row, unless there is one with its serial.
pub(super) fn insert(tx: &mut dyn Transaction, record: &IssueRecord) -> Result<bool, StateError> {
    let sql = format!(
        "INSERT INTO issued ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (serial) DO NOTHING"
    );
    let row = values![
        record.issued_for.name(),
        record.serial.to_string(),
        record.kind.to_string(),
        &record.key_id,
        microseconds(record.time),
        as_json(&record.principals)?,
        record.valid_after,
        record.valid_before,
        &record.public_key,
        &record.ca,
        as_json(&record.critical_options)?,
    ];
    Ok(tx.execute(&sql, row)? == 1)
}

/// The condition of a filter, and its values.
fn condition(filter: &LedgerFilter) -> (String, Vec<SqlValue>) {
    let since = filter.since.map(microseconds);
    let parts: [(&str, Option<SqlValue>); 7] = [
        ("kind =", filter.kind.map(|kind| kind.to_string().into())),
        ("how =", filter.issued_for.map(|why| why.name().into())),
        ("key_id =", filter.key_id.as_ref().map(Into::into)),
        (
            "serial =",
            filter.serial.map(|serial| serial.to_string().into()),
        ),
        ("public_key =", filter.public_key.as_ref().map(Into::into)),
        ("valid_before >", filter.valid_after.map(Into::into)),
        ("time >=", since.map(Into::into)),
    ];
    let mut condition = "1 = 1".to_owned();
    let mut row = Vec::new();
    for (column, value) in parts {
        if let Some(value) = value {
            row.push(value);
            condition += &format!(" AND {column} ${}", row.len());
        }
    }
    (condition, row)
}

fn read_issued(row: &Row) -> Result<IssueRecord, StateError> {
    let kind = match row.text(2)? {
        "host" => CaKind::Host,
        _ => CaKind::User,
    };
    let issued_for = match row.text(0)? {
        "connection" => IssuedFor::Connection,
        _ => IssuedFor::Signed,
    };
    let time = i64::try_from(row.number(4)?).unwrap_or(i64::MAX);
    let serial = Serial::new(row.parsed(1)?);
    Ok(IssueRecord {
        time: DateTime::from_timestamp_micros(time).unwrap_or_default(),
        kind,
        serial: serial.ok_or(StateError::Unreadable {
            columns: 11,
            column: 2,
        })?,
        key_id: row.text(3)?.to_owned(),
        principals: row.json(5)?,
        valid_after: moment(row.number(6)?),
        valid_before: moment(row.number(7)?),
        public_key: row.text(8)?.to_owned(),
        ca: row.text(9)?.to_owned(),
        critical_options: row.json(10)?,
        issued_for,
    })
}

/// A time of a certificate. The last one that the database can keep stands for "forever", which is
/// 2^64 - 1 in certificates.
fn moment(kept: u64) -> u64 {
    match i64::try_from(kept) {
        Ok(i64::MAX) | Err(_) => u64::MAX,
        Ok(_) => kept,
    }
}

fn microseconds(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_micros()).unwrap_or_default()
}
