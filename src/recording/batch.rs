//! Turns events into the bytes of a commit: blobs first, then a data frame with the lines that
//! name them (`FORMAT.md`, section 6).

use super::blob::{self, MAX_BLOB, MAX_WAITING, MAX_WAITING_BYTES};
use super::encoder::{After, Encoder};
use super::error::RecordingError;
use super::event::{ChannelNote, Side, Stream};
use super::footer::ByteTotals;
use super::lazy::{LazyScreen, ScreenSnapshot};
use super::lines::{self, MAX_LINE};
use super::queue::{Queue, QueuedKind};
use super::text::{self, Piece};

/// The next commit, and what all commits so far hold.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whether streams are kept as text where they are text.
    pub(super) has_pty: bool,
    /// The bytes to write.
    pub(super) out: Vec<u8>,
    /// Event lines so far.
    pub(super) events: u64,
    /// Blobs so far.
    pub(super) blobs: u64,
    /// Bytes so far.
    pub(super) bytes: ByteTotals,
    /// What the terminal shows after the events so far, where there is one.
    screen: Option<LazyScreen>,
    encoder: Encoder,
    lines: Vec<u8>,
    last_ms: u64,
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
            events: 0,
            blobs: 0,
            bytes: ByteTotals::default(),
            encoder: Encoder::default(),
            lines: Vec::new(),
            last_ms: 0,
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
                    self.bytes.withheld = self.bytes.withheld.saturating_add(count);
                    self.line(at_ms, lines::INPUT_WITHHELD, &count.to_string());
                }
                // The queue got the data of lines as strings.
                QueuedKind::Gap(lost) => {
                    self.bytes.lost = self.bytes.lost.saturating_add(lost);
                    self.line(at_ms, lines::GAP, &String::from_utf8_lossy(bytes));
                }
                QueuedKind::Line(code) => {
                    let data = String::from_utf8_lossy(bytes);
                    self.line(at_ms, code, &data);
                    self.resize(code, &data);
                }
            }
        }
        self.close()
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
        self.encoder.held() + self.out.capacity() + self.lines.capacity() + screen
    }

    fn stream(&mut self, at_ms: u64, stream: Stream, bytes: &[u8]) -> Result<(), RecordingError> {
        self.bytes.add(stream, bytes.len());
        if let Some(screen) = &mut self.screen
            && stream != Stream::Stdin
        {
            screen.feed(bytes);
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
            let named = blob::push(&mut self.out, &mut self.encoder, stream, self.blobs, part)?;
            self.waiting += 1;
            self.waiting_bytes += self.out.len() - before;
            self.blobs += 1;
            self.line(at_ms, lines::BLOB, &named.to_data());
        }
        Ok(())
    }

    fn line(&mut self, at_ms: u64, code: char, data: &str) {
        let start = self.lines.len();
        let interval_ms = at_ms.saturating_sub(self.last_ms);
        lines::push(&mut self.lines, interval_ms, code, data);
        if self.lines.len() - start > MAX_LINE {
            self.lines.truncate(start);
            let note = ChannelNote::new(Side::Proxy, "oversized").with("bytes", data.len());
            let data = serde_json::to_string(&note).unwrap_or_default();
            lines::push(&mut self.lines, interval_ms, lines::REQUEST, &data);
        }
        self.last_ms = self.last_ms.max(at_ms);
        self.events += 1;
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
