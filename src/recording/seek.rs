//! Reads a recording from a point in time on: from the nearest key frame before it, not from the
//! start.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

use super::error::RecordingError;
use super::event::{Event, EventKind};
use super::frame::{HEAD_LEN, KEY_TAG, TAG_LEN};
use super::header::Header;
use super::index::Index;
use super::key_frame::{KeyFrame, MAX_KEY_FRAME};
use super::lazy::{LazyScreen, ScreenSnapshot};
use super::reader::{Reader, State};
use super::walk::{self, Walk};

/// A recording from a point in time on: what its terminal shows then, and, as an iterator, what
/// follows. Together they are the whole.
///
/// A key frame that does not tell the truth cannot be told from one that does until the next one is
/// read, or the footer: then it is an error.
#[derive(Debug)]
pub struct Sought<R> {
    reader: Reader<R>,
    screen: Option<ScreenSnapshot>,
    /// What was read to find the place: an event after it, or the error that is there.
    next: Option<Result<Event, RecordingError>>,
}

impl<R: Read + Seek> Sought<R> {
    /// Opens a recording behind everything that happened up to this time since its start.
    ///
    /// What is read does not grow with the recording if it was finished. If it was not, all heads of
    /// its frames are read; without key frames, all of it up to that time.
    ///
    /// # Errors
    /// Those of [`Reader::open`], and the operating system's. Damage is an error of the iterator.
    pub fn open(file: R, at: Duration) -> Result<Self, RecordingError> {
        let mut reader = Reader::open(file)?;
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let screen = match resume(&mut reader, at_ms)? {
            Some(screen) => screen.map(LazyScreen::of),
            None => {
                reader.rewind()?;
                let header = reader.header();
                header.pty.as_ref().map(|_| LazyScreen::new(header.size()))
            }
        };
        Ok(Self::draw(reader, screen, at))
    }
}

impl<R: Read> Sought<R> {
    /// Reads on up to the time.
    fn draw(mut reader: Reader<R>, mut screen: Option<LazyScreen>, at: Duration) -> Self {
        let next = loop {
            match reader.next() {
                Some(Ok(event)) if event.at <= at => {
                    let Some(screen) = &mut screen else { continue };
                    match event.kind {
                        EventKind::Output { bytes, .. } => screen.feed(&bytes),
                        EventKind::Resize { cols, rows } => screen.resize(cols, rows),
                        _ => {}
                    }
                }
                next => break next,
            }
        };
        Self {
            reader,
            screen: screen.map(|mut screen| screen.snapshot()),
            next,
        }
    }

    /// Who, where, what.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.reader.header()
    }

    /// What the terminal shows at that time. `None` where there is no terminal.
    #[must_use]
    pub fn screen(&self) -> Option<&ScreenSnapshot> {
        self.screen.as_ref()
    }

    /// How far it was read: final once the iterator has ended.
    #[must_use]
    pub fn state(&self) -> &State {
        self.reader.state()
    }
}

impl<R: Read> Iterator for Sought<R> {
    type Item = Result<Event, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next.take().or_else(|| self.reader.next())
    }
}

/// Goes to the last key frame that is not after this time, and gives the screen there. `None` where
/// none can be used; the reader then stands nowhere.
fn resume<R: Read + Seek>(
    reader: &mut Reader<R>,
    at_ms: u64,
) -> Result<Option<Option<ScreenSnapshot>>, RecordingError> {
    let has_pty = reader.header().pty.is_some();
    let file = reader.file();
    let Some((time, offset)) = place(file, at_ms)? else {
        return Ok(None);
    };
    let Some(body) = walk::body_at(file, offset, KEY_TAG, MAX_KEY_FRAME)? else {
        return Ok(None);
    };
    let next = offset + (HEAD_LEN + TAG_LEN + body.len()) as u64;
    let Some(key) = KeyFrame::from_body(&body).filter(|key| key.totals.at_ms == time) else {
        return Ok(None);
    };
    match reader.resume(&key, next) {
        Ok(screen) if screen.is_some() == has_pty => Ok(Some(screen)),
        // What it says is found by reading.
        Ok(_) | Err(RecordingError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Time and place of the last key frame that is not after this time.
fn place(file: &mut (impl Read + Seek), at_ms: u64) -> Result<Option<(u64, u64)>, RecordingError> {
    let Some(index) = Index::read(file)? else {
        return walk_until(file, 0, at_ms);
    };
    match index.before(at_ms) {
        // Between those that it names there are others.
        Some((_, offset)) if index.is_thinned() => walk_until(file, offset, at_ms),
        None if index.is_thinned() => walk_until(file, 0, at_ms),
        named => Ok(named),
    }
}

/// The last key frame that is not after this time, of those from this place on.
fn walk_until(
    file: &mut (impl Read + Seek),
    offset: u64,
    at_ms: u64,
) -> Result<Option<(u64, u64)>, RecordingError> {
    let sought = file.seek(SeekFrom::Start(offset));
    sought.map_err(RecordingError::Read)?;
    let mut walk = Walk::new(BufReader::new(file), offset);
    let mut last = None;
    while let Some(key) = walk.next_key()? {
        if key.at_ms > at_ms {
            break;
        }
        last = Some((key.at_ms, key.offset));
    }
    Ok(last)
}
