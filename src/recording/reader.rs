//! Reads a recording event by event.

use std::collections::VecDeque;
use std::io::{Read, Seek};
use std::time::Duration;

use zstd::zstd_safe::DCtx;

use super::blob::{Blob, MAX_WAITING, MAX_WAITING_BYTES};
use super::error::RecordingError;
use super::event::{Event, EventKind, Stream};
use super::footer::{ByteTotals, Footer};
use super::frames::{self, FramePart, Frames};
use super::header::Header;
use super::key_frame::{KeyFrame, Totals};
use super::lazy::ScreenSnapshot;
use super::lines::{self, BlobRef, LineContent, MAX_LINE};

/// How far a recording was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There may be more.
    Reading,
    /// To its footer.
    Complete(Footer),
    /// To its last complete event: the file has no footer.
    Truncated,
    /// To where it is damaged; the iterator told where and how.
    Damaged,
}

/// A recording that is read front to back, in bounded memory.
///
/// As an iterator it gives events, then at most one error. A file that was merely cut is no
/// error: see [`Reader::state`].
#[derive(Debug)]
pub struct Reader<R> {
    frames: Frames<R>,
    header: Header,
    lines: LineBuffer,
    blobs: Blobs,
    at: Duration,
    events: u64,
    bytes: ByteTotals,
    state: State,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`RecordingError::NotARecording`] when there is no complete header line,
    /// [`RecordingError::Version`] when it is too new, or the operating system's.
    pub fn open(reader: R) -> Result<Self, RecordingError> {
        let mut frames = Frames::new(reader)?;
        let mut lines = LineBuffer::default();
        let header = loop {
            if let Some(line) = lines.take() {
                break Header::from_line(line)?;
            }
            match frames.step(&mut lines.bytes) {
                Ok(FramePart::Lines) if lines.is_too_long() => {
                    return Err(RecordingError::NotARecording("its first line does not end"));
                }
                Ok(FramePart::Lines) => {}
                Ok(FramePart::Blob(_) | FramePart::Key(_) | FramePart::Footer(_)) => {
                    return Err(RecordingError::NotARecording(
                        "it does not begin with a header",
                    ));
                }
                Ok(FramePart::End | FramePart::Cut) => {
                    return Err(RecordingError::NotARecording("it ends within its header"));
                }
                Err(RecordingError::Damaged { what, .. }) => {
                    return Err(RecordingError::NotARecording(what));
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            frames,
            header,
            lines,
            blobs: Blobs::new()?,
            at: Duration::ZERO,
            events: 0,
            bytes: ByteTotals::default(),
            state: State::Reading,
        })
    }

    /// Who, where, what.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How far it was read: final once the iterator has ended.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was read so far, per stream.
    #[must_use]
    pub fn bytes(&self) -> ByteTotals {
        self.bytes
    }

    fn read_event(&mut self) -> Result<Option<Event>, RecordingError> {
        loop {
            if let Some(line) = self.lines.take() {
                let Some(line) = lines::parse(line) else {
                    return Err(self.frames.damage("a line is no event"));
                };
                let kind = match line.content {
                    LineContent::Event(kind) => kind,
                    LineContent::Blob(named) => match self.blobs.take(named) {
                        Ok(kind) => kind,
                        Err(what) => return Err(self.frames.damage(what)),
                    },
                };
                self.at = self.at.saturating_add(line.interval);
                self.events += 1;
                self.bytes.count(&kind);
                return Ok(Some(Event { at: self.at, kind }));
            }
            if self.lines.is_too_long() {
                return Err(self.frames.damage("a line is longer than its limit"));
            }
            match self.frames.step(&mut self.lines.bytes)? {
                FramePart::Lines => {}
                FramePart::Blob(blob) => {
                    if let Err(what) = self.blobs.add(blob) {
                        return Err(self.frames.damage(what));
                    }
                }
                FramePart::Key(key) => {
                    if !self.lines.is_empty() || key.totals != self.totals() {
                        return Err(self
                            .frames
                            .damage("a key frame does not fit what is before it"));
                    }
                }
                FramePart::Footer(footer) => return self.complete(footer),
                FramePart::End | FramePart::Cut => {
                    self.state = State::Truncated;
                    return Ok(None);
                }
            }
        }
    }

    /// What was read so far. Blobs count as they are named.
    fn totals(&self) -> Totals {
        Totals {
            at_ms: u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX),
            events: self.events,
            blobs: self.blobs.taken,
            bytes: self.bytes,
        }
    }

    /// Goes on from this key frame, behind which the file stands. What the terminal shows there.
    pub(super) fn resume(
        &mut self,
        key: &KeyFrame,
        next: u64,
    ) -> Result<Option<ScreenSnapshot>, RecordingError>
    where
        R: Seek,
    {
        let screen = key
            .screen(&mut self.blobs.context)
            .map_err(|what| self.frames.damage(what))?;
        self.restart(next, key.totals)?;
        Ok(screen)
    }

    /// Goes on from the first event.
    pub(super) fn rewind(&mut self) -> Result<(), RecordingError>
    where
        R: Seek,
    {
        self.restart(0, Totals::default())?;
        // The header, which was read before.
        loop {
            if self.lines.take().is_some() {
                return Ok(());
            }
            match self.frames.step(&mut self.lines.bytes)? {
                FramePart::Lines if !self.lines.is_too_long() => {}
                _ => return Err(self.frames.damage("it has changed while it was read")),
            }
        }
    }

    /// The file. Reading on takes a [`Reader::resume`] or [`Reader::rewind`] after it was used.
    pub(super) fn file(&mut self) -> &mut R {
        self.frames.file()
    }

    fn restart(&mut self, offset: u64, totals: Totals) -> Result<(), RecordingError>
    where
        R: Seek,
    {
        self.frames.seek(offset)?;
        self.lines = LineBuffer::default();
        self.blobs.waiting.clear();
        self.blobs.held = 0;
        self.blobs.taken = totals.blobs;
        self.at = Duration::from_millis(totals.at_ms);
        self.events = totals.events;
        self.bytes = totals.bytes;
        self.state = State::Reading;
        Ok(())
    }

    /// Nothing may be left over, and nothing may follow.
    fn complete(&mut self, footer: Footer) -> Result<Option<Event>, RecordingError> {
        let agrees = footer.events == self.events
            && footer.blobs == self.blobs.taken
            && footer.bytes == self.bytes;
        if !self.lines.is_empty() || !self.blobs.waiting.is_empty() || !agrees {
            return Err(self
                .frames
                .damage("the footer does not fit what is before it"));
        }
        match self.frames.step(&mut self.lines.bytes)? {
            FramePart::End => {
                self.state = State::Complete(footer);
                Ok(None)
            }
            _ => Err(self.frames.damage("something follows the footer")),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Event, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Reading {
            return None;
        }
        let event = self.read_event();
        if event.is_err() {
            self.state = State::Damaged;
        }
        event.transpose()
    }
}

/// Decompressed bytes, taken line by line.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    start: usize,
    searched: usize,
}

impl LineBuffer {
    /// The next complete line, without its LF.
    fn take(&mut self) -> Option<&[u8]> {
        let fresh = self.bytes.get(self.searched..)?;
        let Some(length) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.bytes.drain(..self.start);
            self.start = 0;
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + length;
        let line = self.start..end;
        self.start = end + 1;
        self.searched = self.start;
        self.bytes.get(line)
    }

    /// Whether an incomplete line exceeds the limit; asked after `take` found none.
    fn is_too_long(&self) -> bool {
        self.bytes.len() - self.start > MAX_LINE
    }

    fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }
}

/// Blobs that wait for their lines.
struct Blobs {
    waiting: VecDeque<Blob>,
    held: usize,
    taken: u64,
    context: DCtx<'static>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs")
            .field("waiting", &self.waiting.len())
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Blobs {
    fn new() -> Result<Self, RecordingError> {
        let context = frames::decompressor()?;
        Ok(Self {
            waiting: VecDeque::new(),
            held: 0,
            taken: 0,
            context,
        })
    }

    fn add(&mut self, blob: Blob) -> Result<(), &'static str> {
        let number = self.taken + self.waiting.len() as u64;
        self.held += blob.held();
        if blob.named.number != number {
            return Err("blobs are not numbered in order");
        }
        if self.waiting.len() == MAX_WAITING || self.held > MAX_WAITING_BYTES {
            return Err("too many blobs wait for their lines");
        }
        self.waiting.push_back(blob);
        Ok(())
    }

    fn take(&mut self, named: BlobRef) -> Result<EventKind, &'static str> {
        let blob = self
            .waiting
            .pop_front()
            .ok_or("a line names a blob that is not there")?;
        if blob.named != named {
            return Err("a line does not name the next blob");
        }
        self.held -= blob.held();
        self.taken += 1;
        let bytes = blob
            .decode(&mut self.context)
            .ok_or("a blob does not decompress")?;
        Ok(match named.stream {
            Stream::Stdin => EventKind::Input(bytes),
            stream => EventKind::Output { stream, bytes },
        })
    }
}
