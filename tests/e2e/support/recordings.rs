//! The contents of a recording.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{keys, programs};

/// A field of an object that must be a string.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no string {field:?} in {value:#}"))
}

/// The file of a listed recording.
pub(crate) fn file(recording: &Value) -> &Path {
    Path::new(text(recording, "file"))
}

/// The asciicast lines of a file, by stock zstd.
pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let stream = keys::tool(Command::new(programs::path("zstd")).arg("-dcq").arg(file));
    stream
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("not a JSON line: {error}\n{line}"))
        })
        .collect()
}

/// The data of all events with this code, in one text.
pub(crate) fn said(lines: &[Value], code: &str) -> String {
    lines
        .iter()
        .filter(|line| line[1] == code)
        .map(|line| line[2].as_str().unwrap_or_default())
        .collect()
}
