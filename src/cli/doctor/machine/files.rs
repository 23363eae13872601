//! The data directory: its files, which accounts can access them, whether it can be written.

use std::path::Path;

use chrono::{TimeDelta, Utc};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::super::checks::{CUT_RECORDINGS, Check, DATA_DIR, RECORDINGS_DIR, STATE_FILES};
use super::super::report::Finding;
use crate::config::Config;
use crate::model::chain;
use crate::store::listing::{self, RecordingStatus};
use crate::sys::fs::{FsError, check_private};

/// How far back recordings without an end are news.
const NEWS: TimeDelta = TimeDelta::days(7);
/// Most recordings that are looked into, the newest ones.
const MAX_RECORDINGS: usize = 1_000;

pub(super) fn examine(config: &Config, now: u64, findings: &mut Vec<Finding>) {
    let data = &config.data_dir;
    if !data.path().exists() {
        let hint = "the proxy makes it when it starts; name another with data_dir or --data-dir";
        findings.push(Finding::error(&DATA_DIR, data, "is not there", hint));
        return;
    }
    directory(&DATA_DIR, data.path(), findings);
    let ca = data.ca();
    // Of a missing one, the CAs' keys tell.
    if ca.exists() {
        directory(&DATA_DIR, &ca, findings);
    }
    let recordings = data.recordings();
    if recordings.exists() {
        directory(&RECORDINGS_DIR, &recordings, findings);
        findings.extend(cut(&recordings, now));
    } else {
        let detail = "is made with the first session";
        findings.push(Finding::ok(&RECORDINGS_DIR, recordings.display(), detail));
    }
    // These are only ever appended to.
    for file in [
        data.audit_log(),
        data.state_db(),
        data.ledger(),
        data.revocations(),
    ] {
        if file.exists() {
            let found = private(&STATE_FILES, &file).or_else(|| writable(&STATE_FILES, &file));
            let well = || Finding::ok(&STATE_FILES, file.display(), "private, and can be written");
            findings.push(found.unwrap_or_else(well));
        }
    }
}

fn directory(check: &'static Check, path: &Path, findings: &mut Vec<Finding>) {
    if !path.is_dir() {
        let hint = format!("move {} away", path.display());
        findings.push(Finding::error(
            check,
            path.display(),
            "is no directory",
            hint,
        ));
        return;
    }
    let found = private(check, path).or_else(|| writable(check, path));
    let well = || Finding::ok(check, path.display(), "private, and can be written");
    findings.push(found.unwrap_or_else(well));
}

/// What is wrong with mode and owner.
fn private(check: &'static Check, path: &Path) -> Option<Finding> {
    let error = check_private(path).err()?;
    let detail = match &error {
        FsError::TooOpen { mode, .. } => format!("has mode {mode:04o}: others can get at it"),
        other => chain(other),
    };
    Some(Finding::error(
        check,
        path.display(),
        detail,
        remedy(&error),
    ))
}

/// What to do about a file. The doctor may run under another account than the proxy.
pub(super) fn remedy(fault: &FsError) -> String {
    match fault {
        FsError::TooOpen { path, .. } => {
            let mode = if path.is_dir() { "0700" } else { "0600" };
            format!("chmod {mode} {}", path.display())
        }
        FsError::Owner {
            path,
            owner,
            expected,
        } => format!(
            "where the proxy runs as that user, look as it does: `sudo -u '#{owner}' rproxy \
             doctor`; else chown {expected} {}",
            path.display()
        ),
        FsError::Writable { path, .. } => format!("chmod go-w {}", path.display()),
        FsError::Link { path, .. } => format!("remove the link {}", path.display()),
        FsError::NotAFile(path) => format!("move away what is at {}", path.display()),
        FsError::Io { .. } | FsError::Exists(_) => {
            "run this as the user that the proxy runs as".to_owned()
        }
    }
}

/// Why this account cannot write it.
fn writable(check: &'static Check, path: &Path) -> Option<Finding> {
    let wanted = Access::WRITE_OK;
    let errno = accessat(CWD, path, wanted, AtFlags::EACCESS).err()?;
    let (detail, hint) = match errno {
        Errno::ROFS => (
            "is on a file system that is mounted read-only".to_owned(),
            format!(
                "see `dmesg` for why, and mount it for writing: {}",
                path.display()
            ),
        ),
        other => (
            format!("cannot be written: {}", std::io::Error::from(other)),
            format!("chmod u+rwX {}, or run this as its owner", path.display()),
        ),
    };
    Some(Finding::error(check, path.display(), detail, hint))
}

/// Recordings of late that have no end.
fn cut(recordings: &Path, now: u64) -> Option<Finding> {
    let mut paths = listing::find(recordings, "").ok()?;
    // Their names begin with the time.
    let old = paths.len().saturating_sub(MAX_RECORDINGS);
    let paths = paths.split_off(old);
    let since = i64::try_from(now).ok()?;
    let since = chrono::DateTime::<Utc>::from_timestamp(since, 0)? - NEWS;
    let entries = paths.iter().filter_map(|path| listing::entry(path).ok());
    let cut: Vec<_> = entries
        .filter(|entry| entry.header.start > since && entry.standing == RecordingStatus::Recovered)
        .collect();
    let subject = recordings.display();
    let Some(last) = cut.last() else {
        let detail = "none in the last seven days";
        return Some(Finding::ok(&CUT_RECORDINGS, subject, detail));
    };
    let detail = format!(
        "{} of the last seven days have no end, the last one {}",
        cut.len(),
        last.header.session
    );
    let hint = "the proxy was killed, or its machine crashed: see the program's log of that time. \
                What was recorded until then can be replayed";
    Some(Finding::warning(&CUT_RECORDINGS, subject, detail, hint))
}
