//! Files that another process opens for this one, which cannot any more.
//!
//! A sandbox keeps places, not names (`sys::sandbox`): a file that is replaced, or that lies beside
//! what must stay out of reach, is opened by a process outside, and comes as an open file. Which files
//! those are is a list that is settled before the sandbox closes; the process outside goes by its own
//! copy of it, and believes nothing else.
//!
//! Who opens files is a property of the process, as its sandbox is. It is set once, and then holds for
//! `sys::fs`, through which all files of the list are opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use thiserror::Error;

use super::fs;

/// The files that are not opened here, and who opens them.
static BORROWED: OnceLock<Borrowed> = OnceLock::new();

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be read.
    Read,
    /// To be appended to. It is made, private to its owner, where it is missing.
    Append,
}

/// The process outside, as the one inside knows it.
pub trait Lender: fmt::Debug + Send + Sync {
    /// Has a file opened. It may wait for the other process, for a bounded time.
    ///
    /// # Errors
    /// What the other process met, or that it does not answer.
    fn lend(&self, path: &Path, purpose: Purpose) -> io::Result<File>;
}

/// The files that may be lent, and for what: all that the process outside opens for anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    files: Vec<(PathBuf, Purpose)>,
}

impl Shelf {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, purpose: Purpose) -> Self {
        self.files.push((path.into(), purpose));
        self
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = (&Path, Purpose)> {
        self.files
            .iter()
            .map(|(path, purpose)| (path.as_path(), *purpose))
    }

    /// Whether a file is lent for this. Names are compared letter by letter: nothing is resolved.
    #[must_use]
    pub fn has(&self, path: &Path, purpose: Purpose) -> bool {
        let path = path.as_os_str();
        self.files()
            .any(|(other, for_what)| other.as_os_str() == path && for_what == purpose)
    }

    /// Opens a file for whoever asks, if it is one of these: the side of the process outside.
    ///
    /// # Errors
    /// `PermissionDenied` for any other, and the operating system's.
    pub fn open(&self, path: &Path, purpose: Purpose) -> io::Result<File> {
        if !self.has(path, purpose) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match purpose {
            Purpose::Read => File::open(path),
            Purpose::Append => fs::open_for_appending(path),
        }
    }
}

/// The files that are not opened here, and who opens them.
#[derive(Debug)]
struct Borrowed {
    shelf: Shelf,
    lender: Box<dyn Lender>,
}

/// This process has a lender already.
#[derive(Debug, Error)]
#[error("files are lent to this process already")]
pub struct AlreadyLent;

/// From now on the files of the shelf are had from the lender, for as long as the process runs.
///
/// # Errors
/// [`AlreadyLent`]
pub fn borrow(shelf: Shelf, lender: Box<dyn Lender>) -> Result<(), AlreadyLent> {
    BORROWED
        .set(Borrowed { shelf, lender })
        .map_err(|_still_the_first| AlreadyLent)
}

/// Opens a file by whoever opens it in this process.
pub(super) fn open(path: &Path, purpose: Purpose) -> io::Result<File> {
    match BORROWED.get() {
        Some(borrowed) if borrowed.shelf.has(path, purpose) => borrowed.lender.lend(path, purpose),
        _ => match purpose {
            Purpose::Read => File::open(path),
            Purpose::Append => fs::open_for_appending(path),
        },
    }
}

/// Opens a file to read it, by whoever opens it in this process.
///
/// # Errors
/// The operating system's.
pub fn read(path: &Path) -> io::Result<File> {
    open(path, Purpose::Read)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sys::fs::{append_private, read_limited};

    /// Opens what lies in another directory under the same name.
    #[derive(Debug)]
    struct Elsewhere(PathBuf);

    impl Lender for Elsewhere {
        fn lend(&self, path: &Path, purpose: Purpose) -> io::Result<File> {
            let there = self.0.join(path.file_name().unwrap_or_default());
            Shelf::new().with(&there, purpose).open(&there, purpose)
        }
    }

    #[test]
    fn only_what_is_on_the_shelf_is_lent_and_for_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        drop(append_private(&at("read")).unwrap());
        drop(append_private(&at("secret")).unwrap());
        let shelf = Shelf::new()
            .with(at("read"), Purpose::Read)
            .with(at("log"), Purpose::Append);
        let mut read = shelf.open(&at("read"), Purpose::Read).unwrap();
        read.write_all(b"x").unwrap_err();
        let mut log = shelf.open(&at("log"), Purpose::Append).unwrap();
        log.write_all(b"line").unwrap();
        log.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for (name, purpose) in [
            ("read", Purpose::Append),
            ("log", Purpose::Read),
            ("secret", Purpose::Read),
            ("./read", Purpose::Read),
            ("x/../read", Purpose::Read),
        ] {
            let refused = shelf.open(&at(name), purpose).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{name}");
        }
    }

    #[test]
    fn a_process_that_borrows_has_its_files_from_the_lender() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lent = here.path().join("lent");
        let shelf = Shelf::new()
            .with(&lent, Purpose::Read)
            .with(&lent, Purpose::Append);
        borrow(shelf.clone(), Box::new(Elsewhere(there.path().to_owned()))).unwrap();
        append_private(&lent).unwrap().write_all(b"text").unwrap();
        assert!(!lent.exists());
        assert_eq!(std::fs::read(there.path().join("lent")).unwrap(), b"text");
        assert_eq!(read_limited(&lent, 10).unwrap(), b"text");
        // Others are its own.
        let own = here.path().join("own");
        append_private(&own).unwrap().write_all(b"own").unwrap();
        assert_eq!(std::fs::read(&own).unwrap(), b"own");
        // The first lender stays.
        borrow(shelf, Box::new(Elsewhere(PathBuf::new()))).unwrap_err();
        assert_eq!(read_limited(&lent, 10).unwrap(), b"text");
    }
}
