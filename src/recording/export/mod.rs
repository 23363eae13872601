//! Exports for other programs and for people: asciicast, text, JSON lines, raw bytes.
//!
//! Every export takes events from a [`Reader`] until there are no more; [`Reader::state`] then says
//! whether the recording is complete.

mod asciicast;
mod error;
mod json;
mod raw;
mod text;

use std::io::{Read, Write};

use super::reader::Reader;

pub use error::ExportError;
pub use raw::Part;

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
    use super::super::event::Stream;
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
