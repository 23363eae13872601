//! Moments, as the API writes them.

use chrono::{DateTime, SecondsFormat, Utc};

/// A moment in seconds since the epoch, as RFC 3339 writes it.
pub(super) fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let moment = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert!(time(u64::MAX).starts_with('+'));
    }
}
