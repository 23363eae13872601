//! Foreign text made fit for one line of a message: escaped and cut.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::text::Printable;

/// Longest text of a peer that a message repeats, in bytes.
const MAX_SHOWN: usize = 128;

/// What a peer wrote, fit to print and not endless.
pub(super) fn text(foreign: &str) -> String {
    Printable(foreign).within(MAX_SHOWN)
}

/// Names of a certificate, separated by commas.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MAX_NAMES: usize = 8;
    let mut names = names.into_iter();
    let mut shown = names
        .by_ref()
        .take(MAX_NAMES)
        .map(text)
        .collect::<Vec<_>>()
        .join(", ");
    let left = names.count();
    if left > 0 {
        shown.push_str(&format!(" and {left} more"));
    }
    shown
}

/// A certificate's time as RFC 3339, or `forever` where the calendar ends.
pub(super) fn time(unix_seconds: u64) -> String {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0))
        .map_or_else(
            || "forever".to_owned(),
            |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(text("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(text(&"x".repeat(1000)).len(), MAX_SHOWN);
        assert_eq!(text(&"x".repeat(MAX_SHOWN)).len(), MAX_SHOWN);
    }

    #[test]
    fn long_lists_are_counted() {
        let names: Vec<String> = (0..10).map(|i| format!("db{i}")).collect();
        assert_eq!(
            list(names.iter().map(String::as_str)),
            "db0, db1, db2, db3, db4, db5, db6, db7 and 2 more"
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), "forever");
    }
}
