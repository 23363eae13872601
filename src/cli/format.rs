//! The values of `--format`.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use crate::model::text;

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// A table
    Text,
    /// An array of objects
    Json,
}

/// The rows of a list as an array of objects, safe to print. A row is strings and numbers, which always
/// have a JSON form.
pub(crate) fn json_list(rows: impl Iterator<Item = impl Serialize>) -> String {
    let rows = rows.map(|row| serde_json::to_value(row).unwrap_or(Value::Null));
    let list = Value::Array(rows.collect()).to_string();
    format!("{}\n", text::json(&list))
}
