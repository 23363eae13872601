//! The footer: totals and the end, found from the end of the file (`FORMAT.md`, section 7).

use std::io::{self, Read, Seek, SeekFrom};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::RecordingError;
use super::event::{EventKind, ExitNote, Stream};
use super::frame::{self, FOOTER_TAG, HEAD_LEN, OUR_MAGIC, TAG_LEN};

/// Most bytes of the footer's frame.
pub(super) const MAX_FOOTER_FRAME: usize = 64 << 10;
/// Length and tag once more.
const TAIL_LEN: usize = 8;

/// Bytes per stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteTotals {
    /// Stored standard input.
    pub stdin: u64,
    /// Stored standard output.
    pub stdout: u64,
    /// Stored standard error.
    pub stderr: u64,
    /// Typed, counted, not stored.
    pub withheld: u64,
    /// Relayed and not recorded (best effort only).
    pub lost: u64,
}

impl ByteTotals {
    /// Adds what a stream's bytes count.
    pub(super) fn add(&mut self, stream: Stream, bytes: usize) {
        let total = match stream {
            Stream::Stdin => &mut self.stdin,
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        *total = total.saturating_add(bytes as u64);
    }

    /// Adds what an event counts.
    pub(super) fn count(&mut self, event: &EventKind) {
        match event {
            EventKind::Output { stream, bytes } => self.add(*stream, bytes.len()),
            EventKind::Input(bytes) => self.add(Stream::Stdin, bytes.len()),
            EventKind::InputWithheld(count) => {
                self.withheld = self.withheld.saturating_add(*count);
            }
            EventKind::Gap(gap) => self.lost = self.lost.saturating_add(gap.bytes),
            // Another person than the one whose session it is.
            EventKind::ParticipantInput(_)
            | EventKind::Resize { .. }
            | EventKind::Marker(_)
            | EventKind::Request(_)
            | EventKind::Exit(_)
            | EventKind::Other { .. } => {}
        }
    }
}

/// How a finished recording ended, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The version of the format.
    pub format: u32,
    /// When the session ended.
    #[serde(with = "super::header::milliseconds")]
    pub end: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended on the host's side.
    pub exit: ExitNote,
    /// Number of event lines.
    pub events: u64,
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes per stream.
    pub bytes: ByteTotals,
    /// Whether recovery wrote this footer, not the session.
    pub recovered: bool,
    /// Where in the file the time index stands, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

impl Footer {
    /// Finds the footer from the end of a file. `None` when there is none.
    ///
    /// # Errors
    /// The operating system's.
    pub fn find(file: &mut (impl Read + Seek)) -> Result<Option<Self>, RecordingError> {
        let Some(tail) = last_bytes(file, TAIL_LEN)? else {
            return Ok(None);
        };
        let Some((length, tag)) = frame::take_u32(&tail) else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if tag != FOOTER_TAG || length > MAX_FOOTER_FRAME {
            return Ok(None);
        }
        Ok(last_bytes(file, length)?.and_then(|frame| Self::from_frame(&frame)))
    }

    /// Appends the footer's frame.
    pub(super) fn push(&self, out: &mut Vec<u8>) -> Result<(), RecordingError> {
        let start = out.len();
        let open = frame::begin(out, FOOTER_TAG);
        serde_json::to_writer(&mut *out, self).map_err(RecordingError::Header)?;
        let length = u32::try_from(out.len() - start + TAIL_LEN).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&FOOTER_TAG);
        frame::end(out, &open);
        Ok(())
    }

    /// Reads the body of the footer's frame, after the tag.
    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let (content, tail) = body.split_last_chunk::<TAIL_LEN>()?;
        let (length, tag) = frame::take_u32(tail)?;
        let whole = HEAD_LEN + TAG_LEN + body.len();
        let is_sound = tag == FOOTER_TAG && usize::try_from(length).ok()? == whole;
        is_sound.then_some(())?;
        serde_json::from_slice(content).ok()
    }

    fn from_frame(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = frame::take_u32(bytes)?;
        let (length, rest) = frame::take_u32(rest)?;
        let body = rest.strip_prefix(&FOOTER_TAG)?;
        let is_sound = magic == OUR_MAGIC && usize::try_from(length).ok()? == rest.len();
        is_sound.then(|| Self::from_body(body)).flatten()
    }
}

/// The last bytes of a file. `None` when it is shorter.
fn last_bytes(
    file: &mut (impl Read + Seek),
    count: usize,
) -> Result<Option<Vec<u8>>, RecordingError> {
    let size = file.seek(SeekFrom::End(0)).map_err(RecordingError::Read)?;
    let Some(start) = size.checked_sub(count as u64) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(start))
        .map_err(RecordingError::Read)?;
    let mut bytes = vec![0; count];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(RecordingError::Read(error)),
    }
}
