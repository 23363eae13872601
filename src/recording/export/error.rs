//! How an export fails.

use std::io;

use thiserror::Error;

use super::super::error::RecordingError;

/// How an export fails.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The recording is damaged or cannot be read; what came before was exported.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The result cannot be written.
    #[error("cannot write the export")]
    Output(#[from] io::Error),
}
