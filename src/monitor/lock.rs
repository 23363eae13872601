//! Allows only one proxy for one data directory: the running proxy holds a lock on `serve.lock` in
//! it.
//!
//! The monitor holds the lock, and hands it over to the next program at an upgrade, so that it is
//! never free in between. Workers do not hold it: workers of a monitor that has exited are about to
//! exit.

use super::error::MonitorError;
use crate::model::DataDir;
use crate::sys::feasible;
use crate::sys::fs::{self, FileLock, FsError};

/// Takes the lock.
///
/// # Errors
/// [`MonitorError::Busy`] if another process has it; errors of the operating system.
pub(super) fn take(data_dir: &DataDir) -> Result<FileLock, MonitorError> {
    fs::private_dir(data_dir.path()).or_else(|error| match error {
        // Other users may have access to the directory; the CAs check what may not be accessible.
        FsError::TooOpen { .. } => Ok(()),
        error => Err(error),
    })?;
    let lock = FileLock::attempt(&data_dir.serve_lock())?;
    lock.ok_or_else(|| MonitorError::Busy(data_dir.path().to_owned()))
}

/// Checks whether the lock could be taken if it is free. Creates nothing.
///
/// # Errors
/// As [`take`], without [`MonitorError::Busy`].
pub(super) fn look(data_dir: &DataDir) -> Result<(), MonitorError> {
    feasible::make_in(data_dir.path())?;
    let path = data_dir.serve_lock();
    if path.exists() {
        FileLock::attempt(&path)?;
    }
    Ok(())
}

/// Whether a proxy serves this data directory now. Creates nothing.
///
/// # Errors
/// Errors of the operating system.
pub(super) fn is_served(data_dir: &DataDir) -> Result<bool, FsError> {
    let path = data_dir.serve_lock();
    if !path.exists() {
        return Ok(false);
    }
    Ok(FileLock::attempt(&path)?.is_none())
}
