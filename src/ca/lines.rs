//! Files of lines that are only ever appended to, by several processes. Whoever writes holds a lock
//! on the file; whoever reads takes what has an end.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use crate::sys::fs::{self, FsError};
use crate::sys::lent;

/// Adds whole lines, or nothing: what a full disk cut off is taken back. `torn` says that the file
/// ends within a line.
pub(super) fn append(path: &Path, lines: &str, torn: bool) -> Result<(), FsError> {
    let mut text = String::new();
    if torn {
        text.push('\n');
    }
    text += lines;
    let mut file = fs::append_private(path)?;
    let before = file.metadata().map_err(FsError::io("inspect", path))?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // The write's own error is the one to tell; a torn line that stays is skipped later.
        let _taken_back = file.set_len(before.len());
        return Err(FsError::io("write", path)(error));
    }
    if before.len() == 0 {
        fs::sync_directory_of(path)?;
    }
    Ok(())
}

/// Gives `take` every line that has an end, from byte `from` on. Returns the byte after the last of
/// them, and whether more follows: a line that a crash tore, or that is being written.
pub(super) fn read(
    path: &Path,
    from: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<(u64, bool), FsError> {
    let mut file = lent::read(path).map_err(FsError::io("read", path))?;
    file.seek(SeekFrom::Start(from))
        .map_err(FsError::io("read", path))?;
    let mut reader = BufReader::new(file);
    let mut upto = from;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(FsError::io("read", path))?;
        match line.strip_suffix(b"\n") {
            Some(whole) => take(whole),
            None => return Ok((upto, read > 0)),
        }
        upto += read as u64;
    }
}
