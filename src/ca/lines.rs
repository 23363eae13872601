//! Append-only files of lines, written by several processes. A writer holds a lock on the file.
//!
//! After a crash, the last line may be incomplete. Its content was never reported as written, so
//! readers skip it, and the next writer removes it. Any other invalid line is damage, which means
//! lost content: it is an error.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::CaError;
use crate::sys::files::{self, Files};
use crate::sys::fs::{self, FsError};

/// What follows the last line that has an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    #[default]
    None,
    /// A whole line without its end, as editors leave one.
    Unended,
    /// A part of a line: a crash tore it, or it is being written.
    Torn,
}

/// Where a file of lines ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinesEnd {
    /// The byte after the last line that has an end.
    pub(super) upto: u64,
    /// What comes after it.
    pub(super) tail: Tail,
}

/// Adds whole lines, or nothing: what a full disk cut off is taken back. `end` is what [`read`] has
/// found under the same lock.
pub(super) fn append(
    opened_by: &dyn Files,
    path: &Path,
    lines: &str,
    end: LinesEnd,
) -> Result<(), FsError> {
    let mut file = files::append_private(opened_by, path)?;
    let length = |file: &std::fs::File| file.metadata().map(|metadata| metadata.len());
    if end.tail == Tail::Torn {
        file.set_len(end.upto).map_err(FsError::io("write", path))?;
    }
    let before = length(&file).map_err(FsError::io("inspect", path))?;
    let mut text = String::new();
    if end.tail == Tail::Unended {
        text.push('\n');
    }
    text += lines;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // The write's own error is the one to tell; a torn line that stays is taken off later.
        let _taken_back = file.set_len(before);
        return Err(FsError::io("write", path)(error));
    }
    if before == 0 {
        fs::sync_directory_of(path)?;
    }
    Ok(())
}

/// Gives `take` every line from byte `from` on, without empty ones. `take` says whether it is one of
/// the file's lines; also a whole last line without its end is.
///
/// # Errors
/// When the file cannot be read, or [`CaError::Damaged`] where a line that has an end is none.
pub(super) fn read(
    opened_by: &dyn Files,
    path: &Path,
    from: u64,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<LinesEnd, CaError> {
    let mut file = opened_by
        .open_read(path)
        .map_err(FsError::io("read", path))?;
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
            Some(whole) if whole.is_empty() || take(whole) => {}
            Some(_) => {
                return Err(CaError::Damaged {
                    path: path.to_owned(),
                    line: number(opened_by, path, upto)?,
                });
            }
            None => {
                let tail = match line.as_slice() {
                    [] => Tail::None,
                    line if take(line) => Tail::Unended,
                    _ => Tail::Torn,
                };
                return Ok(LinesEnd { upto, tail });
            }
        }
        upto += read as u64;
    }
}

/// The number of the line that begins at a byte, from 1 on.
fn number(opened_by: &dyn Files, path: &Path, begin: u64) -> Result<u64, FsError> {
    let file = opened_by
        .open_read(path)
        .map_err(FsError::io("read", path))?;
    let mut before = BufReader::new(std::io::Read::take(file, begin)).split(b'\n');
    let number = before.try_fold(1, |number, line| line.map(|_line| number + 1));
    number.map_err(FsError::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::Direct;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    fn is_number(line: &[u8]) -> bool {
        line.iter().all(u8::is_ascii_digit)
    }

    fn file(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        write_whole(&path, content, PRIVATE_FILE, Replace::Refuse).unwrap();
        (directory, path)
    }

    #[test]
    fn a_torn_end_is_taken_off_and_an_unended_line_is_ended() {
        for (content, tail, after) in [
            (&b"1\n2\n"[..], Tail::None, "1\n2\n3\n"),
            (b"1\n2", Tail::Unended, "1\n2\n3\n"),
            (b"1\n2{\"se", Tail::Torn, "1\n3\n"),
            (b"1\n\0\0\0\0", Tail::Torn, "1\n3\n"),
            (b"x", Tail::Torn, "3\n"),
        ] {
            let (_directory, path) = file(content);
            let end = read(&Direct, &path, 0, is_number).unwrap();
            assert_eq!(end.tail, tail, "{content:?}");
            append(&Direct, &path, "3\n", end).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn a_line_that_says_nothing_is_damage_with_its_number() {
        let (_directory, path) = file(b"1\n\n2\n??\n4\n");
        let error = read(&Direct, &path, 2, is_number).unwrap_err();
        assert!(matches!(error, CaError::Damaged { line: 4, .. }), "{error}");
    }
}
