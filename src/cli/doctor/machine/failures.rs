//! Recordings that could not be written: the disk may have free space again when `doctor` runs.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::super::checks::RECORDING_FAILURES;
use super::super::report::Finding;
use crate::cli::ui::time;
use crate::model::DataDir;
use crate::model::text::Printable;
use crate::sys::fs;

/// How much of the audit log's end is read, in bytes.
const LOOKED_AT: u64 = 4 << 20;
/// How long ago still counts, in seconds: seven days.
const RECENT: u64 = 7 * 86_400;
/// What errors of a full disk say, in the words of the C library.
const FULL: &[&str] = &["No space left on device", "Disk quota exceeded"];

/// A line of the audit log, as far as it matters here.
#[derive(Deserialize)]
struct AuditLine {
    time: DateTime<Utc>,
    event: String,
    error: Option<String>,
}

pub(super) fn examine(data_dir: &DataDir, now: u64, findings: &mut Vec<Finding>) {
    // A log that is not there yet has nothing to tell; one that cannot be read is found elsewhere.
    if let Ok(end) = end_of(&data_dir.audit_log()) {
        findings.push(judge(&end, now));
    }
}

fn judge(log: &[u8], now: u64) -> Finding {
    let failed: Vec<AuditLine> = log
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<AuditLine>(line).ok())
        .filter(|event| event.event.starts_with("recording.") && event.error.is_some())
        .filter(|event| seconds(event) >= now.saturating_sub(RECENT))
        .collect();
    let Some(last) = failed.last() else {
        return Finding::ok(&RECORDING_FAILURES, "", "none in the last seven days");
    };
    let error = last.error.as_deref().unwrap_or_default();
    let is_full = failed.iter().any(|event| {
        let error = event.error.as_deref().unwrap_or_default();
        FULL.iter().any(|words| error.contains(words))
    });
    let what = if is_full { "the disk was full: " } else { "" };
    let detail = format!(
        "{what}{} in the last seven days, the last one at {}: {}",
        failed.len(),
        time(seconds(last)),
        Printable(error)
    );
    let hint = if is_full {
        "make room, or give recordings a larger disk; alert on `rproxy_recording_failures_total`"
    } else {
        "see the program's log of that time, and the disk"
    };
    Finding::warning(&RECORDING_FAILURES, "", detail, hint)
}

fn seconds(event: &AuditLine) -> u64 {
    u64::try_from(event.time.timestamp()).unwrap_or_default()
}

/// The end of a regular file, and of none behind a link.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    if !path.symlink_metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = fs::open_regular(path).map_err(io::Error::other)?;
    fs::read_end(file, LOOKED_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_760_000_000;

    fn line(ago: u64, name: &str, error: &str) -> String {
        let time = DateTime::from_timestamp((NOW - ago) as i64, 0).unwrap();
        let time = time.to_rfc3339();
        format!("{{\"time\":\"{time}\",\"event\":\"{name}\",\"error\":\"{error}\"}}\n")
    }

    #[test]
    fn a_full_disk_is_told_after_it_has_room_again() {
        let full = "cannot write: No space left on device (os error 28)";
        let log = line(60, "recording.failed", full) + &line(30, "recording.failed", "cut");
        let told = format!("{:?}", judge(log.as_bytes(), NOW));
        assert!(
            told.contains("the disk was full: 2 in the last seven days"),
            "{told}"
        );
        assert!(told.contains(": cut"), "{told}");
    }

    #[test]
    fn what_is_long_ago_or_something_else_is_nothing() {
        let log = line(RECENT + 1, "recording.failed", "x")
            + &line(1, "session.end", "x")
            + "not a line\n{\"time\":";
        let told = format!("{:?}", judge(log.as_bytes(), NOW));
        assert!(told.contains("none in the last seven days"), "{told}");
    }
}
