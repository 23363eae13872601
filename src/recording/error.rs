//! How writing or reading a recording fails.

use std::io;

use thiserror::Error;

/// What went wrong with a recording.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The operating system did not take the bytes. Nothing that was committed before is lost;
    /// the next commit tries again.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
    /// The recording could not be read.
    #[error("cannot read the recording")]
    Read(#[source] io::Error),
    /// The compressor failed: it is out of memory.
    #[error("cannot compress the recording: {0}")]
    Compress(&'static str),
    /// The header could not be written as JSON.
    #[error("cannot write the recording's header")]
    Header(#[source] serde_json::Error),
    /// The file is no recording, or was cut before its header line was complete.
    #[error("not a recording: {0}")]
    NotARecording(&'static str),
    /// The file was written by a newer version.
    #[error(
        "the recording has format {found}, this version reads {}",
        super::FORMAT
    )]
    Version {
        /// The format that its header names.
        found: u32,
    },
    /// The file breaks the rules of its format.
    #[error("the recording is damaged near byte {offset}: {what}")]
    Damaged {
        /// How far the file had been read.
        offset: u64,
        /// Which rule is broken.
        what: &'static str,
    },
}
