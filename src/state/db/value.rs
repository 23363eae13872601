//! What goes into a statement and what comes out of it, and the transaction that carries it.

use zeroize::Zeroizing;

use crate::state::error::StateError;

/// A value of a column. Texts can be secrets: they are wiped when they are dropped, and not shown.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::state) enum SqlValue {
    /// NULL.
    Null,
    /// BIGINT.
    Integer(i64),
    /// TEXT.
    Text(Zeroizing<String>),
}

impl std::fmt::Debug for SqlValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Integer(number) => number.fmt(f),
            Self::Text(_) => f.write_str("Text(..)"),
        }
    }
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// A number beyond 2^63 - 1 becomes 2^63 - 1: no time and no count that is compared comes that far.
impl From<u64> for SqlValue {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for SqlValue {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<&String> for SqlValue {
    fn from(text: &String) -> Self {
        Self::from(text.clone())
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(Zeroizing::new(text))
    }
}

impl From<uuid::Uuid> for SqlValue {
    fn from(id: uuid::Uuid) -> Self {
        Self::from(id.hyphenated().to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, in the order of `$1`, `$2`, and so on.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::state::db::SqlValue::from($value)),*]
    };
}
pub(in crate::state) use values;

/// A row that a statement has given.
#[derive(Clone, Debug)]
pub(in crate::state) struct Row(pub(super) Vec<SqlValue>);

impl Row {
    /// A column that is TEXT.
    pub(in crate::state) fn text(&self, column: usize) -> Result<&str, StateError> {
        let text = self.optional_text(column)?;
        text.ok_or_else(|| self.wrong(column))
    }

    /// A column that is TEXT or NULL.
    pub(in crate::state) fn optional_text(
        &self,
        column: usize,
    ) -> Result<Option<&str>, StateError> {
        match self.0.get(column) {
            Some(SqlValue::Text(text)) => Ok(Some(text)),
            Some(SqlValue::Null) => Ok(None),
            _ => Err(self.wrong(column)),
        }
    }

    /// A column that is BIGINT and not negative.
    pub(in crate::state) fn number(&self, column: usize) -> Result<u64, StateError> {
        let number = self.optional_number(column)?;
        number.ok_or_else(|| self.wrong(column))
    }

    /// A column that is BIGINT and not negative, or NULL.
    pub(in crate::state) fn optional_number(
        &self,
        column: usize,
    ) -> Result<Option<u64>, StateError> {
        match self.0.get(column) {
            Some(SqlValue::Integer(number)) => {
                let number = u64::try_from(*number);
                number.map(Some).map_err(|_negative| self.wrong(column))
            }
            Some(SqlValue::Null) => Ok(None),
            _ => Err(self.wrong(column)),
        }
    }

    /// A column whose text is a value of some type.
    pub(in crate::state) fn parsed<T: std::str::FromStr>(
        &self,
        column: usize,
    ) -> Result<T, StateError> {
        let value = self.text(column)?.parse();
        value.map_err(|_unreadable| self.wrong(column))
    }

    /// A column whose text is JSON.
    pub(in crate::state) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<T, StateError> {
        let value = serde_json::from_str(self.text(column)?);
        value.map_err(|_unreadable| self.wrong(column))
    }

    /// All columns.
    pub(in crate::state) fn into_values(self) -> Vec<SqlValue> {
        self.0
    }

    /// The error of a column that cannot be read. What is in it is not said: it may be a secret.
    pub(in crate::state) fn wrong(&self, column: usize) -> StateError {
        StateError::Unreadable {
            columns: self.0.len(),
            column: column + 1,
        }
    }
}

/// Statements that are carried out together or not at all. Values stand in them as `$1`, `$2`, and so
/// on.
pub(in crate::state) trait Transaction {
    /// Carries out a statement that gives no rows; gives the number of rows that it has changed.
    fn execute(&mut self, sql: &str, values: &[SqlValue]) -> Result<u64, StateError>;

    /// Carries out a statement, and passes on each row that it gives, in their order.
    fn each(
        &mut self,
        sql: &str,
        values: &[SqlValue],
        on_row: &mut dyn FnMut(Row) -> Result<(), StateError>,
    ) -> Result<(), StateError>;

    /// Carries out several statements without values.
    fn batch(&mut self, sql: &str) -> Result<(), StateError>;

    /// From now on, the statements of this transaction may take as long as they need.
    fn lift_time_limits(&mut self) -> Result<(), StateError>;

    /// Whether there is a table of this name.
    fn has_table(&mut self, name: &str) -> Result<bool, StateError>;

    /// Carries out a statement; gives all its rows.
    fn query(&mut self, sql: &str, values: &[SqlValue]) -> Result<Vec<Row>, StateError> {
        let mut rows = Vec::new();
        self.each(sql, values, &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Carries out a statement; gives its first row.
    fn first(&mut self, sql: &str, values: &[SqlValue]) -> Result<Option<Row>, StateError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// Carries out a statement that gives one number, and gives that.
    fn number(&mut self, sql: &str, values: &[SqlValue]) -> Result<u64, StateError> {
        let row = self.first(sql, values)?;
        row.map_or(Ok(0), |row| row.number(0))
    }
}

/// JSON of a list or a map of texts, which always has one.
pub(in crate::state) fn as_json(value: &impl serde::Serialize) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(StateError::Json)
}
