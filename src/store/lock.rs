//! The lock of a recording's file: its writer holds it until the session has ended.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::sys::fs::FsError;

/// Takes the writer's lock. The file is new, so nothing is waited for.
///
/// # Errors
/// The operating system's.
pub(super) fn take(file: &File, path: &Path) -> Result<(), FsError> {
    flock(file, FlockOperation::LockExclusive)
        .map_err(|errno| FsError::io("lock", path)(errno.into()))
}

/// Whether a writer holds the file. Looks without waiting, and lets go at once.
pub(super) fn is_taken(file: &File) -> bool {
    let is_taken = flock(file, FlockOperation::NonBlockingLockShared).is_err();
    if !is_taken {
        // Closing the file would unlock it too, but later.
        let _unlocked = flock(file, FlockOperation::Unlock);
    }
    is_taken
}
