//! Opens a recording's file and returns its events: the only way for every reader.
//!
//! Listings, exports, replays and watching use [`decode`]. If a recording has to be decoded before
//! it can be read, that belongs here.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

use super::error::StoreError;
use super::tail::Tail;
use crate::recording::{Reader, Sought};
use crate::sys::fs;

/// Opens a recording wherever it is. A link is followed, and what is no regular file is not waited
/// for.
///
/// # Errors
/// When the file cannot be opened, or is no recording.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, StoreError> {
    decode(BufReader::new(fs::open_regular(path)?))
}

/// Opens a recording behind everything that happened up to this time since its start. The file is
/// opened as [`open`] does it.
///
/// # Errors
/// As [`open`].
pub fn open_at(path: &Path, at: Duration) -> Result<Sought<BufReader<File>>, StoreError> {
    Ok(Sought::open(BufReader::new(fs::open_regular(path)?), at)?)
}

/// Opens a recording that may still be written: its reader waits for more until the writer is done or
/// gone. `on_caught_up` is called once, when everything that is in the file now was read.
///
/// # Errors
/// When the file cannot be opened, is no regular file, or is no recording.
pub fn follow(
    path: &Path,
    on_caught_up: impl FnOnce() + Send + 'static,
) -> Result<Reader<Tail>, StoreError> {
    decode(Tail::open(path, on_caught_up)?)
}

/// A reader of these bytes of a recording.
///
/// # Errors
/// When they are no recording, or cannot be read.
pub(super) fn decode<R: Read>(bytes: R) -> Result<Reader<R>, StoreError> {
    Ok(Reader::open(bytes)?)
}
