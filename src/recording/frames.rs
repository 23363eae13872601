//! Reads a file frame by frame: decompressed lines, blobs, footer. The memory is limited, whatever
//! the file contains.

use std::io::{self, Read, Seek, SeekFrom};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::blob::{Blob, MAX_BLOB_FRAME};
use super::error::RecordingError;
use super::footer::{Footer, MAX_FOOTER_FRAME};
use super::frame::{self, BLOB_TAG, FOOTER_TAG, KEY_TAG, OUR_MAGIC, TAG_LEN, ZSTD_MAGIC};
use super::key_frame::{KeyFrame, MAX_KEY_FRAME};

/// Largest window of a data frame that is accepted: what RFC 8878, 3.1.1.1.2 recommends.
const WINDOW_LOG_MAX: u32 = 23;
/// How much is read from the file at once.
const READ_LEN: usize = 64 << 10;
/// How much is decompressed at once.
const DECODE_LEN: usize = 128 << 10;

/// The next thing that a file holds.
pub(super) enum FramePart {
    /// Some more bytes of lines were appended.
    Lines,
    /// A blob.
    Blob(Blob),
    /// A key frame.
    Key(KeyFrame),
    /// The footer.
    Footer(Footer),
    /// The file ends between two frames.
    End,
    /// The file ends inside a frame.
    Cut,
}

/// A file that is read front to back.
pub(super) struct Frames<R> {
    reader: R,
    input: Vec<u8>,
    position: usize,
    offset: u64,
    context: DCtx<'static>,
    is_in_data: bool,
    decoded: Vec<u8>,
}

impl<R> std::fmt::Debug for Frames<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames")
            .field("offset", &self.offset)
            .field("is_in_data", &self.is_in_data)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Frames<R> {
    pub(super) fn new(reader: R) -> Result<Self, RecordingError> {
        let context = decompressor()?;
        Ok(Self {
            reader,
            input: Vec::new(),
            position: 0,
            offset: 0,
            context,
            is_in_data: false,
            decoded: vec![0; DECODE_LEN],
        })
    }

    /// Takes the next step; decompressed bytes go to the end of `lines`.
    pub(super) fn step(&mut self, lines: &mut Vec<u8>) -> Result<FramePart, RecordingError> {
        if self.is_in_data {
            return self.decode(lines);
        }
        let Some(magic) = self.take_number()? else {
            return Ok(if self.unread().is_empty() {
                FramePart::End
            } else {
                FramePart::Cut
            });
        };
        if magic == ZSTD_MAGIC {
            self.begin_data(magic)?;
            return self.decode(lines);
        }
        if !frame::is_skippable(magic) {
            return Err(self.damage("neither a zstd frame nor a skippable frame"));
        }
        match self.take_number()? {
            Some(length) => self.skippable(magic, length),
            None => Ok(FramePart::Cut),
        }
    }

    /// Goes on where a frame begins.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), RecordingError>
    where
        R: Seek,
    {
        let sought = self.reader.seek(SeekFrom::Start(offset));
        sought.map_err(RecordingError::Read)?;
        self.input.clear();
        self.position = 0;
        self.offset = offset;
        self.is_in_data = false;
        Ok(())
    }

    /// The file.
    pub(super) fn file(&mut self) -> &mut R {
        &mut self.reader
    }

    /// A report of damage where the file was last read.
    pub(super) fn damage(&self, what: &'static str) -> RecordingError {
        RecordingError::Damaged {
            offset: self.offset,
            what,
        }
    }

    fn skippable(&mut self, magic: u32, length: u32) -> Result<FramePart, RecordingError> {
        let length = length as usize;
        let mut tag = [0; TAG_LEN];
        if magic != OUR_MAGIC || length < TAG_LEN {
            return self.pass_over(length);
        }
        if !self.take_exact(&mut tag)? {
            return Ok(FramePart::Cut);
        }
        let body = length - TAG_LEN;
        let limit = match tag {
            BLOB_TAG => MAX_BLOB_FRAME,
            KEY_TAG => MAX_KEY_FRAME,
            FOOTER_TAG => MAX_FOOTER_FRAME,
            _ => return self.pass_over(body),
        };
        if body > limit {
            return Err(self.damage("a frame is longer than its limit"));
        }
        let mut bytes = vec![0; body];
        if !self.take_exact(&mut bytes)? {
            return Ok(FramePart::Cut);
        }
        match tag {
            BLOB_TAG => {
                let blob = Blob::from_body(&bytes).map(FramePart::Blob);
                blob.ok_or_else(|| self.damage("the head of a blob is wrong"))
            }
            KEY_TAG => {
                let key = KeyFrame::from_body(&bytes).map(FramePart::Key);
                key.ok_or_else(|| self.damage("a key frame is wrong"))
            }
            _ => {
                let footer = Footer::from_body(&bytes).map(FramePart::Footer);
                footer.ok_or_else(|| self.damage("the footer is wrong"))
            }
        }
    }

    /// Passes over a frame that is not for us, then goes on with the next one.
    fn pass_over(&mut self, mut length: usize) -> Result<FramePart, RecordingError> {
        while length > 0 {
            if self.unread().is_empty() && !self.fill()? {
                return Ok(FramePart::Cut);
            }
            let count = length.min(self.unread().len());
            self.consume(count);
            length -= count;
        }
        Ok(FramePart::Lines)
    }

    fn begin_data(&mut self, magic: u32) -> Result<(), RecordingError> {
        let begun = self
            .context
            .reset(ResetDirective::SessionAndParameters)
            .and_then(|_| {
                self.context
                    .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            });
        if begun.is_err() {
            return Err(self.damage("the decompressor does not start"));
        }
        let mut nothing = [0; 1];
        let magic = magic.to_le_bytes();
        let mut output = OutBuffer::around(nothing.as_mut_slice());
        let fed = self
            .context
            .decompress_stream(&mut output, &mut InBuffer::around(&magic));
        if fed.is_err() {
            return Err(self.damage("a data frame does not begin"));
        }
        self.is_in_data = true;
        Ok(())
    }

    /// Decompresses at most [`DECODE_LEN`] bytes.
    fn decode(&mut self, lines: &mut Vec<u8>) -> Result<FramePart, RecordingError> {
        let mut produced = 0;
        while produced == 0 && self.is_in_data {
            let mut input = InBuffer::around(self.input.get(self.position..).unwrap_or_default());
            let available = input.src.len();
            let mut output = OutBuffer::around(self.decoded.as_mut_slice());
            let Ok(hint) = self.context.decompress_stream(&mut output, &mut input) else {
                return Err(self.damage("a data frame does not decompress"));
            };
            let consumed = input.pos();
            produced = output.pos();
            self.consume(consumed);
            self.is_in_data = hint != 0;
            let is_starved = produced == 0 && consumed == available && self.is_in_data;
            if is_starved && !self.fill()? {
                return Ok(FramePart::Cut);
            }
        }
        lines.extend_from_slice(self.decoded.get(..produced).unwrap_or_default());
        Ok(FramePart::Lines)
    }

    fn take_number(&mut self) -> Result<Option<u32>, RecordingError> {
        while self.unread().len() < 4 {
            if !self.fill()? {
                return Ok(None);
            }
        }
        let number = frame::take_u32(self.unread()).map(|(number, _)| number);
        self.consume(4);
        Ok(number)
    }

    fn take_exact(&mut self, mut target: &mut [u8]) -> Result<bool, RecordingError> {
        while !target.is_empty() {
            if self.unread().is_empty() && !self.fill()? {
                return Ok(false);
            }
            let count = target.len().min(self.unread().len());
            let (head, tail) = target.split_at_mut(count);
            head.copy_from_slice(self.unread().get(..count).unwrap_or_default());
            self.consume(count);
            target = tail;
        }
        Ok(true)
    }

    fn unread(&self) -> &[u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.position = (self.position + count).min(self.input.len());
        self.offset = self.offset.saturating_add(count as u64);
    }

    /// Reads more. `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, RecordingError> {
        self.input.drain(..self.position);
        self.position = 0;
        let kept = self.input.len();
        self.input.resize(kept + READ_LEN, 0);
        let count = loop {
            let space = self.input.get_mut(kept..).unwrap_or_default();
            match self.reader.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.input
            .truncate(kept + count.as_ref().copied().unwrap_or(0).min(READ_LEN));
        count.map(|count| count > 0).map_err(RecordingError::Read)
    }
}

/// A decompression context.
pub(super) fn decompressor() -> Result<DCtx<'static>, RecordingError> {
    DCtx::try_create().ok_or_else(|| RecordingError::Read(io::ErrorKind::OutOfMemory.into()))
}
