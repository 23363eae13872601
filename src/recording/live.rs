//! A recording that is being written: record, commit, then relay.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::batch::Batch;
use super::error::RecordingError;
use super::event::{ChannelNote, ExitNote, GapNote, Side, Stream};
use super::footer::Footer;
use super::header::Header;
use super::lazy::ScreenSnapshot;
use super::lines;
use super::participant::{ParticipantInput, Typed};
use super::queue::{Queue, QueuedKind};

/// What the configuration says about recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether what is typed into a PTY is stored; else it is counted.
    pub pty_input: bool,
}

/// A finished recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What its footer says.
    pub footer: Footer,
    /// Size of the file in bytes.
    pub file_bytes: u64,
}

/// A recording whose header is written, as bytes that go to a writer.
///
/// Events are buffered; [`Live::commit`] makes them survive the death of the process. Relay
/// nothing that is not committed. Times are readings of one monotonic clock.
#[derive(Debug)]
pub struct Live<W: Write> {
    writer: W,
    options: Options,
    started: DateTime<Utc>,
    origin: Duration,
    latest_ms: u64,
    queue: Queue,
    batch: Batch,
    written: usize,
    file_bytes: u64,
    lost: GapNote,
    exit: ExitNote,
    is_broken: bool,
}

impl<W: Write> Live<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(
        writer: W,
        header: &Header,
        options: Options,
        now: Duration,
    ) -> Result<Self, RecordingError> {
        let mut live = Self {
            writer,
            options,
            started: header.start,
            origin: now,
            latest_ms: 0,
            queue: Queue::default(),
            batch: Batch::new(header.pty.is_some().then(|| header.size())),
            written: 0,
            file_bytes: 0,
            lost: no_gap(),
            exit: ExitNote::Unknown,
            is_broken: false,
        };
        live.batch.header(&header.to_line()?)?;
        live.write_out()?;
        Ok(live)
    }

    /// Writes key frames more often.
    #[cfg(test)]
    pub(super) fn space(&mut self, spacing: super::batch::Spacing) {
        self.batch.spacing = spacing;
    }

    /// Records bytes from the host.
    pub fn output(&mut self, now: Duration, stream: Stream, bytes: &[u8]) {
        if !bytes.is_empty() {
            let at = self.at(now);
            self.queue.push(at, QueuedKind::Bytes(stream), bytes);
        }
    }

    /// Records bytes from the user: stores them, or counts them when they are typed into a PTY
    /// and the options do not say to store that.
    pub fn input(&mut self, now: Duration, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.at(now);
        if self.batch.has_pty && !self.options.pty_input {
            self.queue
                .push(at, QueuedKind::Withheld(bytes.len() as u64), &[]);
        } else {
            self.queue.push(at, QueuedKind::Bytes(Stream::Stdin), bytes);
        }
    }

    /// Records what a participant typed: stores it or counts it, as [`Live::input`].
    pub fn participant_input(&mut self, now: Duration, participant: u16, user: &str, bytes: &[u8]) {
        for bytes in bytes.chunks(super::text::MAX_TEXT) {
            let typed = match self.options.pty_input {
                true => Typed::Bytes(bytes.into()),
                false => Typed::Withheld(bytes.len() as u64),
            };
            let input = ParticipantInput {
                participant,
                user: user.to_owned(),
                typed,
            };
            self.line(now, lines::PARTICIPANT_INPUT, &lines::json(&input));
        }
    }

    /// Records a new size of the terminal, in characters.
    pub fn resize(&mut self, now: Duration, cols: u32, rows: u32) {
        let fits = |size| (1..=u32::from(u16::MAX)).contains(&size);
        if fits(cols) && fits(rows) {
            self.line(now, lines::RESIZE, &format!("{cols}x{rows}"));
        } else {
            let note = ChannelNote::new(Side::Client, "window-change")
                .with("cols", cols)
                .with("rows", rows);
            self.request(now, &note);
        }
    }

    /// Records a label for people.
    pub fn marker(&mut self, now: Duration, text: &str) {
        self.line(now, lines::MARKER, text);
    }

    /// Records a request or message that has no method of its own.
    pub fn request(&mut self, now: Duration, note: &ChannelNote) {
        self.line(now, lines::REQUEST, &lines::json(note));
    }

    /// Records that something was relayed and not recorded.
    pub fn gap(&mut self, now: Duration, gap: &GapNote) {
        let at = self.at(now);
        let data = lines::json(gap);
        self.queue
            .push(at, QueuedKind::Gap(gap.bytes), data.as_bytes());
    }

    /// Records how the session ended on the host's side. The last one stands in the footer.
    pub fn exit(&mut self, now: Duration, exit: &ExitNote) {
        match exit {
            ExitNote::Status(status) => {
                self.line(now, lines::EXIT_STATUS, &status.to_string());
            }
            ExitNote::Signal(_) | ExitNote::Unknown => {
                self.line(now, lines::NO_EXIT_STATUS, &lines::json(exit));
            }
        }
        self.exit = exit.brief();
    }

    /// What the session's terminal shows as of the last commit. `None` where it has no terminal.
    ///
    /// What is recorded later and fed behind it gives the same screen as the whole recording.
    pub fn screen(&mut self) -> Option<ScreenSnapshot> {
        self.batch.screen()
    }

    /// Size of the file so far, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of memory that it holds: the compressor's, and buffers.
    #[must_use]
    pub fn held(&self) -> usize {
        self.queue.room() + self.batch.held()
    }

    /// Bytes that are recorded and not committed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.held()
    }

    /// Makes everything recorded so far survive the death of this process: one write.
    ///
    /// After a failure the file still reads up to some event that was recorded. A caller that
    /// goes on (best effort) just records and commits: what was encoded is written first, what
    /// came in the meantime is counted and becomes a gap.
    ///
    /// # Errors
    /// When the operating system does not take it.
    pub fn commit(&mut self) -> Result<(), RecordingError> {
        if self.is_broken {
            self.lose_queue();
            return Err(RecordingError::Compress("an earlier failure stands"));
        }
        if self.has_unwritten() {
            if let Err(error) = self.write_out() {
                self.lose_queue();
                return Err(error);
            }
            self.note_lost();
        }
        if self.queue.len() == 0 {
            return Ok(());
        }
        self.encode()?;
        self.write_out()
    }

    /// Commits, ends the open frame and gives the compressor's memory back. Call it when the
    /// session has been silent for some seconds; recording goes on as before.
    ///
    /// # Errors
    /// As [`Live::commit`].
    pub fn idle(&mut self) -> Result<(), RecordingError> {
        self.commit()?;
        self.batch.rest()?;
        self.write_out()?;
        self.batch.out.shrink_to_fit();
        self.queue.shrink();
        Ok(())
    }

    /// Commits and writes the footer. Gives the writer back.
    ///
    /// # Errors
    /// As [`Live::commit`]; the file then reads as truncated.
    pub fn finish(mut self, now: Duration) -> Result<(W, Summary), RecordingError> {
        let duration_ms = self.at(now);
        self.commit()?;
        self.batch.rest()?;
        let index = self.batch.index()?;
        let length = i64::try_from(duration_ms).unwrap_or(i64::MAX);
        let footer = Footer {
            format: super::FORMAT,
            end: TimeDelta::try_milliseconds(length)
                .and_then(|length| self.started.checked_add_signed(length))
                .unwrap_or(self.started),
            duration_ms,
            exit: self.exit.clone(),
            events: self.batch.totals.events,
            blobs: self.batch.totals.blobs,
            bytes: self.batch.totals.bytes,
            recovered: false,
            index: Some(index),
        };
        footer.push(&mut self.batch.out)?;
        self.write_out()?;
        let summary = Summary {
            footer,
            file_bytes: self.file_bytes,
        };
        Ok((self.writer, summary))
    }

    fn line(&mut self, now: Duration, code: char, data: &str) {
        let at = self.at(now);
        self.queue.push(at, QueuedKind::Line(code), data.as_bytes());
    }

    /// Milliseconds since the session began; never less than the last time.
    fn at(&mut self, now: Duration) -> u64 {
        let since = now.saturating_sub(self.origin).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.latest_ms = self.latest_ms.max(since);
        self.latest_ms
    }

    fn encode(&mut self) -> Result<(), RecordingError> {
        let start = self.batch.out.len();
        let encoded = self.batch.encode(&self.queue);
        if encoded.is_err() {
            // A frame may be open with half an event in it: nothing can follow.
            self.is_broken = true;
            self.batch.out.truncate(start);
        }
        self.queue.clear();
        encoded
    }

    fn has_unwritten(&self) -> bool {
        self.written < self.batch.out.len()
    }

    fn write_out(&mut self) -> Result<(), RecordingError> {
        while let Some(rest) = self
            .batch
            .out
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.writer.write(rest) {
                Ok(0) => return Err(RecordingError::Write(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.written += count;
                    self.file_bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RecordingError::Write(error)),
            }
        }
        self.batch.written();
        self.written = 0;
        self.writer.flush().map_err(RecordingError::Write)
    }

    fn lose_queue(&mut self) {
        self.lost.bytes = self.lost.bytes.saturating_add(self.queue.relayed());
        self.lost.events = self.lost.events.saturating_add(self.queue.len() as u64);
        self.queue.clear();
    }

    /// Puts the gap where the lost events were: before those that came since.
    fn note_lost(&mut self) {
        if self.lost.events == 0 {
            return;
        }
        let lost = std::mem::replace(&mut self.lost, no_gap());
        let since = std::mem::take(&mut self.queue);
        let at = since.iter().next().map_or(self.latest_ms, |(at, ..)| at);
        let data = lines::json(&lost);
        self.queue
            .push(at, QueuedKind::Gap(lost.bytes), data.as_bytes());
        for (at, entry, bytes) in since.iter() {
            self.queue.push(at, entry, bytes);
        }
    }
}

fn no_gap() -> GapNote {
    GapNote {
        bytes: 0,
        events: 0,
        reason: "the recording could not be written".to_owned(),
    }
}
