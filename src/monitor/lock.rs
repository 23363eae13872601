//! One proxy for one data directory: who serves holds a lock on `serve.lock` in it.
//!
//! The monitor holds it, and hands it on to the program that it becomes, so that it is never free in
//! between. Workers do not: those of a monitor that is gone are about to end.

use super::error::MonitorError;
use crate::model::DataDir;
use crate::sys::feasible;
use crate::sys::fs::{self, FileLock, FsError};

/// Takes the lock.
///
/// # Errors
/// [`MonitorError::Busy`] where another process has it; the operating system's.
pub(super) fn take(data_dir: &DataDir) -> Result<FileLock, MonitorError> {
    fs::private_dir(data_dir.path()).or_else(|error| match error {
        // Others may pass through; what they may not, the CAs say.
        FsError::TooOpen { .. } => Ok(()),
        error => Err(error),
    })?;
    let lock = FileLock::attempt(&data_dir.serve_lock())?;
    lock.ok_or_else(|| MonitorError::Busy(data_dir.path().to_owned()))
}

/// Whether it could be taken, if nobody has it. Makes nothing.
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

/// Whether somebody serves this data directory now. Makes nothing.
///
/// # Errors
/// The operating system's.
pub(super) fn is_served(data_dir: &DataDir) -> Result<bool, FsError> {
    let path = data_dir.serve_lock();
    if !path.exists() {
        return Ok(false);
    }
    Ok(FileLock::attempt(&path)?.is_none())
}
