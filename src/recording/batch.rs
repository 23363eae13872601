//! Turns events into the bytes of a commit: blobs first, then a data frame with the lines that
//! name them (`FORMAT.md`, section 6).

use super::blob::{self, MAX_BLOB, MAX_WAITING, MAX_WAITING_BYTES};
use super::encoder::{After, Encoder};
use super::error::RecordingError;
use super::event::{ChannelNote, Side, Stream};
use super::index::Index;
use super::key_frame::{self, MAX_SCREEN, Totals};
use super::lazy::{LazyScreen, ScreenSnapshot};
use super::lines::{self, MAX_LINE};
use super::queue::{Queue, QueuedKind};
use super::text::{self, Piece};

/// A key frame is due after this much was recorded,
const KEY_AFTER: u64 = 1 << 20;
/// or after this much was drawn, which takes a reader longer.
const KEY_AFTER_DRAWN: u64 = 192 << 10;
/// What an event counts besides its bytes.
const EVENT: u64 = 16;

/// When key frames are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spacing {
    /// After so many bytes that were recorded.
    pub(super) recorded: u64,
    /// After so many bytes that were drawn.
    pub(super) drawn: u64,
}

/// The next commit, and what all commits so far hold.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whether streams are kept as text where they are text.
    pub(super) has_pty: bool,
    /// The bytes to write.
    pub(super) out: Vec<u8>,
    /// What was recorded so far.
    pub(super) totals: Totals,
    /// When key frames are due.
    pub(super) spacing: Spacing,
    /// Where in the file `out` will stand.
    offset: u64,
    index: Index,
    /// How much was recorded since the last key frame.
    since_key: u64,
    /// How much had been drawn at the last key frame.
    drawn_at_key: u64,
    /// What the terminal shows after the events so far, where there is one.
    screen: Option<LazyScreen>,
    encoder: Encoder,
    lines: Vec<u8>,
    waiting: usize,
    waiting_bytes: usize,
}

impl Batch {
    /// Nothing yet. `terminal` is its size in characters, where the session has one.
    pub(super) fn new(terminal: Option<(u16, u16)>) -> Self {
        Self {
            has_pty: terminal.is_some(),
            screen: terminal.map(LazyScreen::new),
            out: Vec::new(),
            totals: Totals::default(),
            spacing: Spacing {
                recorded: KEY_AFTER,
                drawn: KEY_AFTER_DRAWN,
            },
            offset: 0,
            index: Index::default(),
            since_key: 0,
            drawn_at_key: 0,
            encoder: Encoder::default(),
            lines: Vec::new(),
            waiting: 0,
            waiting_bytes: 0,
        }
    }

    /// Appends the header line to `out`, as a frame of its own: listings read no further.
    pub(super) fn header(&mut self, line: &[u8]) -> Result<(), RecordingError> {
        self.encoder.lines(&mut self.out, line, After::Blobs)
    }

    /// Appends all events to `out`, readable as they stand there.
    pub(super) fn encode(&mut self, queue: &Queue) -> Result<(), RecordingError> {
        for (at_ms, entry, bytes) in queue.iter() {
            match entry {
                QueuedKind::Bytes(stream) => self.stream(at_ms, stream, bytes)?,
                QueuedKind::Withheld(count) => {
                    self.totals.bytes.withheld = self.totals.bytes.withheld.saturating_add(count);
                    self.line(at_ms, lines::INPUT_WITHHELD, &count.to_string());
                }
                // The queue got the data of lines as strings.
                QueuedKind::Gap(lost) => {
                    self.totals.bytes.lost = self.totals.bytes.lost.saturating_add(lost);
                    self.line(at_ms, lines::GAP, &String::from_utf8_lossy(bytes));
                }
                QueuedKind::Line(code) => {
                    let data = String::from_utf8_lossy(bytes);
                    self.line(at_ms, code, &data);
                    self.resize(code, &data);
                }
            }
        }
        self.close()?;
        self.key_frame()
    }

    /// Appends the time index. Its place in the file.
    pub(super) fn index(&mut self) -> Result<u64, RecordingError> {
        let place = self.offset + self.out.len() as u64;
        self.index.push(&mut self.out)?;
        Ok(place)
    }

    /// All of `out` was written.
    pub(super) fn written(&mut self) {
        self.offset += self.out.len() as u64;
        self.out.clear();
    }

    /// Ends the open data frame and gives memory back.
    pub(super) fn rest(&mut self) -> Result<(), RecordingError> {
        self.encoder.end(&mut self.out)?;
        self.encoder.release();
        self.lines.shrink_to_fit();
        if let Some(screen) = &mut self.screen {
            screen.rest();
        }
        Ok(())
    }

    /// What the terminal shows after the events so far. `None` where there is no terminal.
    pub(super) fn screen(&mut self) -> Option<ScreenSnapshot> {
        self.screen.as_mut().map(LazyScreen::snapshot)
    }

    /// Bytes of memory that this holds.
    pub(super) fn held(&self) -> usize {
        let screen = self.screen.as_ref().map_or(0, LazyScreen::held);
        let buffers = self.out.capacity() + self.lines.capacity() + screen;
        self.encoder.held() + buffers + self.index.held()
    }

    /// Appends a key frame, if one is due.
    fn key_frame(&mut self) -> Result<(), RecordingError> {
        let drawn = self.screen.as_ref().map_or(0, LazyScreen::drawn);
        let is_due = self.since_key >= self.spacing.recorded
            || drawn - self.drawn_at_key >= self.spacing.drawn;
        if !is_due {
            return Ok(());
        }
        if self.screen.as_ref().is_some_and(LazyScreen::is_resizing) {
            // Of sizes that follow each other, the last one alone is drawn.
            return Ok(());
        }
        let screen = self.screen();
        self.since_key = 0;
        self.drawn_at_key = self.screen.as_ref().map_or(0, LazyScreen::drawn);
        if screen
            .as_ref()
            .is_some_and(|screen| screen.bytes.len() > MAX_SCREEN)
        {
            return Ok(());
        }
        self.encoder.end(&mut self.out)?;
        let place = self.offset + self.out.len() as u64;
        self.index.key(self.totals.at_ms, place);
        key_frame::push(
            &mut self.out,
            &mut self.encoder,
            &self.totals,
            screen.as_ref(),
        )
    }

    fn stream(&mut self, at_ms: u64, stream: Stream, bytes: &[u8]) -> Result<(), RecordingError> {
        self.totals.bytes.add(stream, bytes.len());
        self.since_key += bytes.len() as u64;
        if stream != Stream::Stdin {
            self.index.output(at_ms, bytes.len());
            if let Some(screen) = &mut self.screen {
                screen.feed(bytes);
            }
        }
        if !self.has_pty {
            return self.blob(at_ms, stream, bytes);
        }
        let code = match stream {
            Stream::Stdin => lines::INPUT,
            Stream::Stdout => lines::OUTPUT,
            Stream::Stderr => lines::ERROR_OUTPUT,
        };
        for piece in text::pieces(bytes) {
            match piece {
                Piece::Text(text) => self.line(at_ms, code, text),
                Piece::Bytes(bytes) => self.blob(at_ms, stream, bytes)?,
            }
        }
        Ok(())
    }

    fn resize(&mut self, code: char, data: &str) {
        if let Some(screen) = &mut self.screen
            && code == lines::RESIZE
            && let Some((cols, rows)) = lines::size(data)
        {
            screen.resize(cols, rows);
        }
    }

    fn blob(&mut self, at_ms: u64, stream: Stream, bytes: &[u8]) -> Result<(), RecordingError> {
        for part in bytes.chunks(MAX_BLOB) {
            if self.waiting == MAX_WAITING || self.waiting_bytes + MAX_BLOB * 2 > MAX_WAITING_BYTES
            {
                self.close()?;
            }
            self.encoder.end(&mut self.out)?;
            let before = self.out.len();
            let named = blob::push(
                &mut self.out,
                &mut self.encoder,
                stream,
                self.totals.blobs,
                part,
            )?;
            self.waiting += 1;
            self.waiting_bytes += self.out.len() - before;
            self.totals.blobs += 1;
            self.line(at_ms, lines::BLOB, &named.to_data());
        }
        Ok(())
    }

    fn line(&mut self, at_ms: u64, code: char, data: &str) {
        let start = self.lines.len();
        let interval_ms = at_ms.saturating_sub(self.totals.at_ms);
        lines::push(&mut self.lines, interval_ms, code, data);
        if self.lines.len() - start > MAX_LINE {
            self.lines.truncate(start);
            let note = ChannelNote::new(Side::Proxy, "oversized").with("bytes", data.len());
            let data = serde_json::to_string(&note).unwrap_or_default();
            lines::push(&mut self.lines, interval_ms, lines::REQUEST, &data);
        }
        self.totals.at_ms = self.totals.at_ms.max(at_ms);
        self.totals.events += 1;
        self.since_key += EVENT;
    }

    /// Writes the lines behind their blobs.
    fn close(&mut self) -> Result<(), RecordingError> {
        if !self.lines.is_empty() {
            let after = if self.waiting > 0 {
                After::Blobs
            } else {
                After::Lines
            };
            self.encoder.lines(&mut self.out, &self.lines, after)?;
            self.lines.clear();
        }
        self.waiting = 0;
        self.waiting_bytes = 0;
        Ok(())
    }
}
