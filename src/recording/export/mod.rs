//! What other programs and people read: asciicast, text, JSON lines, raw bytes.
//!
//! Every export takes events from a [`Reader`] and ends where it ends; [`Reader::state`] then
//! tells whether that was the recording's end.

mod asciicast;
mod json;
mod raw;
mod text;

use std::io::{self, Read, Write};

use thiserror::Error;

use super::error::RecordingError;
use super::event::Stream;
use super::reader::Reader;

/// What to make of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain asciicast v3.
    Asciicast,
    /// What was on the screen, scrollback included.
    Text,
    /// One JSON object per line, bytes as base64: nothing is lost.
    Json,
    /// Bytes as they crossed, and nothing else.
    Raw(Part),
}

/// What a raw export takes of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes of one stream.
    Stream(Stream),
    /// The command line, or the subsystem's name.
    Command,
    /// The environment that the client asked for: `NAME=VALUE`, each ended by a NUL.
    Environment,
}

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

/// Exports a recording to its end.
///
/// # Errors
/// When it is damaged, or the result cannot be written.
pub fn export<R: Read>(
    reader: &mut Reader<R>,
    format: Format,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    match format {
        Format::Asciicast => asciicast::export(reader, out),
        Format::Text => text::export(reader, out),
        Format::Json => json::export(reader, out),
        Format::Raw(part) => raw::export(reader, part, out),
    }?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Call, recorded};
    use super::*;

    /// An export of a recording of these calls.
    pub(super) fn exported(calls: &[Call], pty: bool, format: Format) -> Vec<u8> {
        let file = recorded(calls, pty);
        let mut out = Vec::new();
        export(
            &mut Reader::open(file.as_slice()).unwrap(),
            format,
            &mut out,
        )
        .unwrap();
        out
    }

    pub(super) fn stdout(bytes: &[u8]) -> Call {
        Call::Output(Stream::Stdout, bytes.to_vec())
    }
}
