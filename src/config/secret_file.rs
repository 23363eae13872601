//! Files with a secret in one line: a password, or a client secret.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::sys::fs::{FsError, read_limited};

/// Longest such file, in bytes.
const MAX_SECRET: u64 = 4096;

/// Reads a secret: the file without the end of its line. A group may read the file, others may not.
///
/// # Errors
/// When the file cannot be read, is empty, is no UTF-8, or others may read it.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, FsError> {
    let metadata = std::fs::metadata(file).map_err(FsError::io("inspect", file))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(FsError::TooOpen {
            path: file.to_owned(),
            mode,
        });
    }
    let bytes = Zeroizing::new(read_limited(file, MAX_SECRET)?);
    let invalid = |error: io::Error| FsError::io("read", file)(error);
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| invalid(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(invalid(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is empty",
        ))),
        secret => Ok(Zeroizing::new(secret.to_owned())),
    }
}
