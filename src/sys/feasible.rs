//! Checks whether something could be created or opened, without creating or changing anything: for code
//! that only checks whether a program would start.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::fs::FsError;

/// Whether files can be made in a directory, which is made with its parents where it is missing. Makes
/// nothing.
///
/// # Errors
/// The operating system's.
pub fn make_in(directory: &Path) -> Result<(), FsError> {
    let may_write = |directory: &Path| {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, directory, wanted, AtFlags::EACCESS)
    };
    if directory.is_dir() {
        let made = may_write(directory).map_err(io::Error::from);
        return made.map_err(FsError::io("make a file in", directory));
    }
    let cannot = |errno: Errno| FsError::io("create directory", directory)(errno.into());
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    if is_there(&directory) {
        return Err(cannot(Errno::EXIST));
    }
    match directory.ancestors().find(is_there) {
        Some(parent) if parent.is_dir() => may_write(parent).map_err(cannot),
        _ => Err(cannot(Errno::NOTDIR)),
    }
}

/// Whether a private file could be opened for appending: one that is there is opened and left as it is,
/// one that is missing needs a directory that takes it.
///
/// # Errors
/// As [`super::fs::append_private`].
pub fn append(path: &Path) -> Result<(), FsError> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(directory) => make_in(directory),
            None => Ok(()),
        },
        // A pipe would wait for its reader.
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Ok(()),
        _ => OpenOptions::new()
            .append(true)
            .open(path)
            .map(drop)
            .map_err(FsError::io("open", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{PRIVATE_FILE, create_new};

    #[test]
    fn what_could_be_made_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        make_in(directory.path()).unwrap();
        make_in(&at("a/b/c")).unwrap();
        append(&at("a/b/log")).unwrap();
        assert!(!at("a").exists());
        create_new(&at("file"), PRIVATE_FILE).unwrap();
        append(&at("file")).unwrap();
        assert_eq!(at("file").metadata().unwrap().len(), 0);
        for wrong in ["file", "file/below"] {
            make_in(&at(wrong)).unwrap_err();
        }
        append(directory.path()).unwrap_err();
    }
}
