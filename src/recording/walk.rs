//! Goes from frame to frame without decompressing them: only their heads, and those of their blocks,
//! are read.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::error::RecordingError;
use super::frame::{self, FOOTER_TAG, HEAD_LEN, KEY_TAG, OUR_MAGIC, TAG_LEN, ZSTD_MAGIC};
use super::key_frame::{self, FIXED_LEN, MAX_KEY_FRAME};

/// A key frame's time and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyPlace {
    pub(super) at_ms: u64,
    pub(super) offset: u64,
}

/// A walk over a file.
#[derive(Debug)]
pub(super) struct Walk<R> {
    reader: BufReader<R>,
    /// Where the next frame begins.
    offset: u64,
    is_over: bool,
}

impl<R: Read + Seek> Walk<R> {
    /// Begins where a frame begins; the reader stands there.
    pub(super) fn new(reader: BufReader<R>, offset: u64) -> Self {
        Self {
            reader,
            offset,
            is_over: false,
        }
    }

    /// The next key frame. `None` where the frames end, properly or not.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn next_key(&mut self) -> Result<Option<KeyPlace>, RecordingError> {
        while !self.is_over {
            match self.step() {
                Ok(Some(key)) => return Ok(Some(key)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.is_over = true,
                Err(error) => return Err(RecordingError::Read(error)),
            }
        }
        Ok(None)
    }

    /// Passes over one frame; the end of the file is an error.
    fn step(&mut self) -> io::Result<Option<KeyPlace>> {
        let offset = self.offset;
        let magic = u32::from_le_bytes(self.take()?);
        if magic == ZSTD_MAGIC {
            self.data_frame()?;
            return Ok(None);
        }
        if !frame::is_skippable(magic) {
            self.is_over = true;
            return Ok(None);
        }
        let length = u64::from(u32::from_le_bytes(self.take()?));
        let end = offset + HEAD_LEN as u64 + length;
        let mut key = None;
        if magic == OUR_MAGIC && length >= TAG_LEN as u64 {
            let tag: [u8; TAG_LEN] = self.take()?;
            self.is_over = tag == FOOTER_TAG;
            let is_key = tag == KEY_TAG
                && (FIXED_LEN as u64..=MAX_KEY_FRAME as u64).contains(&(length - TAG_LEN as u64));
            if is_key {
                let fixed: [u8; FIXED_LEN] = self.take()?;
                key = key_frame::totals(&fixed).map(|(totals, _)| KeyPlace {
                    at_ms: totals.at_ms,
                    offset,
                });
            }
        }
        self.skip(end - self.offset)?;
        Ok(key)
    }

    /// A data frame behind its magic (RFC 8878, 3.1.1).
    fn data_frame(&mut self) -> io::Result<()> {
        let [descriptor] = self.take()?;
        let is_single = descriptor & 0x20 != 0;
        let content_size = match descriptor >> 6 {
            0 => u64::from(is_single),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let dictionary = match descriptor & 3 {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => 4,
        };
        self.skip(u64::from(!is_single) + dictionary + content_size)?;
        loop {
            let [low, middle, high] = self.take()?;
            let head = u32::from_le_bytes([low, middle, high, 0]);
            let size = u64::from(head >> 3);
            match (head >> 1) & 3 {
                // One byte that is repeated.
                1 => self.skip(1)?,
                3 => {
                    self.is_over = true;
                    return Ok(());
                }
                _ => self.skip(size)?,
            }
            if head & 1 == 1 {
                break;
            }
        }
        if descriptor & 4 != 0 {
            self.skip(4)?;
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.offset += N as u64;
        Ok(bytes)
    }

    /// Also over the end of the file: what is taken next is not there then.
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let by = i64::try_from(count).unwrap_or(i64::MAX);
        self.reader.seek_relative(by)?;
        self.offset = self.offset.saturating_add(count);
        Ok(())
    }
}

/// The body of our frame with this tag at a place of the file. `None` when something else is there.
///
/// # Errors
/// The operating system's.
pub(super) fn body_at(
    file: &mut (impl Read + Seek),
    offset: u64,
    tag: [u8; TAG_LEN],
    limit: usize,
) -> Result<Option<Vec<u8>>, RecordingError> {
    match try_body_at(file, offset, tag, limit) {
        // A place beyond what can be sought is none either.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        body => body.map_err(RecordingError::Read),
    }
}

fn try_body_at(
    file: &mut (impl Read + Seek),
    offset: u64,
    tag: [u8; TAG_LEN],
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut head = [0; HEAD_LEN + TAG_LEN];
    file.read_exact(&mut head)?;
    let Some(length) = body_len(&head, tag).filter(|length| *length <= limit) else {
        return Ok(None);
    };
    let mut body = vec![0; length];
    file.read_exact(&mut body)?;
    Ok(Some(body))
}

/// The length of the body of a frame of ours with this tag, whose head this is.
fn body_len(head: &[u8], tag: [u8; TAG_LEN]) -> Option<usize> {
    let (magic, rest) = frame::take_u32(head)?;
    let (length, rest) = frame::take_u32(rest)?;
    (magic == OUR_MAGIC && rest == tag).then_some(())?;
    usize::try_from(length).ok()?.checked_sub(TAG_LEN)
}
