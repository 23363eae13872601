//! What is there already, and is never touched.

use std::fmt::Write as _;
use std::path::Path;

use super::{Exit, Failure};
use crate::model::{DataDir, text};
use crate::sys::feasible;
use crate::sys::fs::{FsError, Replace, directory_of, read_limited};

/// The configuration as a package installs it: an example that stands where the real one belongs.
const PACKAGED: &str = include_str!("../../../contrib/package/rproxy.yaml");

/// Whether the configuration can be written: there is none yet, or the one of a package as it was
/// installed.
///
/// # Errors
/// When there is one, or none can be written there.
pub(super) fn check_file(file: &Path) -> Result<Replace, Failure> {
    match read_limited(file, PACKAGED.len() as u64) {
        Ok(content) if content == PACKAGED.as_bytes() => Ok(Replace::Allow),
        Err(error) if error.is_not_found() && file.symlink_metadata().is_err() => {
            match feasible::make_in(directory_of(file)) {
                Ok(()) => Ok(Replace::Refuse),
                Err(error) => Err(cannot_write(file, error)),
            }
        }
        // It is there, and longer, not readable or no file.
        Ok(_) | Err(_) => Err(Failure::new(
            Exit::Failed,
            format!("there is a configuration already: {}", text::path(file)),
        )
        .hint(
            "`rproxy serve --check` checks it; `rproxy init` writes another one with --config=FILE",
        )),
    }
}

/// Whether a data directory has nothing in it that a proxy has made.
///
/// # Errors
/// Names everything that is there, or says why nothing can be made there.
pub(super) fn check_data_dir(directory: &Path) -> Result<(), Failure> {
    let data_dir = DataDir::new(directory);
    let known = [
        (data_dir.ca(), "keys of CAs"),
        (data_dir.state_db(), "the state"),
        (data_dir.audit_log(), "an audit log"),
        (data_dir.ledger(), "a ledger"),
        (data_dir.revocations(), "revocations"),
        (data_dir.recordings(), "recordings"),
    ];
    let mut there = String::new();
    for (path, what) in known {
        if path.symlink_metadata().is_ok() {
            let _infallible = write!(there, "\n  {} ({what})", text::path(&path));
        }
    }
    if there.is_empty() {
        return feasible::make_in(directory).map_err(|error| {
            let message = format!("cannot use the data directory {}", text::path(directory));
            Failure::new(Exit::Failed, message).because(error)
        });
    }
    let message = format!(
        "{} is the data directory of a proxy already; this is there:{there}",
        text::path(directory)
    );
    Err(Failure::new(Exit::Failed, message)
        .hint("name another directory with --data-dir; nothing that is there is changed"))
}

/// The configuration cannot be written.
pub(super) fn cannot_write(file: &Path, error: FsError) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot write the configuration {}", text::path(file)),
    )
    .because(error)
    .hint("run this as root, or name a file that this account can write with --config=FILE")
}
