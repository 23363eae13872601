//! How creating, finding or opening a recording fails.

use thiserror::Error;

use crate::recording::RecordingError;
use crate::sys::fs::FsError;

/// What went wrong with the file of a recording.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file or its directory could not be made, locked, opened or read.
    #[error(transparent)]
    File(#[from] FsError),
    /// Little is left on the disk, which is kept for recordings that run.
    #[error("the disk is nearly full, and what is left is for the sessions that run")]
    NearlyFull,
    /// What is in the file is no recording, or could not be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}
