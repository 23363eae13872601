//! How a process opens the files that it reads again, or appends to, while it runs.
//!
//! A process without a sandbox opens them itself: [`Direct`]. A confined process asks another
//! process to open them. The rooms that read such files get a [`Files`], and do not know which.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use super::fs::{self, FsError};

/// Opens files.
pub trait Files: fmt::Debug + Send + Sync {
    /// Opens a file to read it.
    ///
    /// # Errors
    /// The operating system's, or those of the way to the process that opens it.
    fn open_read(&self, path: &Path) -> io::Result<File>;

    /// Opens a file to append to it; makes it, private to its owner, where it is missing.
    ///
    /// # Errors
    /// As [`Self::open_read`].
    fn open_append(&self, path: &Path) -> io::Result<File>;
}

/// Opens files in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Files for Direct {
    fn open_read(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<File> {
        fs::open_for_appending(path)
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As [`fs::read_limited`].
pub fn read_limited(files: &dyn Files, path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let file = files.open_read(path).map_err(FsError::io("read", path))?;
    fs::read_file(file, path, limit)
}

/// Opens a file for appending; makes it, private to its owner, where it is missing.
///
/// # Errors
/// As [`fs::append_private`].
pub fn append_private(files: &dyn Files, path: &Path) -> Result<File, FsError> {
    files.open_append(path).map_err(FsError::io("open", path))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_read_or_appended_to_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(read_limited(&Direct, &path, 10).unwrap_err().is_not_found());
        let mut log = append_private(&Direct, &path).unwrap();
        log.write_all(b"line").unwrap();
        log.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut read = Direct.open_read(&path).unwrap();
        read.write_all(b"x").unwrap_err();
        assert_eq!(read_limited(&Direct, &path, 4).unwrap(), b"line");
        read_limited(&Direct, &path, 3).unwrap_err();
    }
}
