//! The service that opens files for a process whose sandbox keeps them out of its reach.
//!
//! A sandbox keeps directories and files as they were when it was applied. A file that is replaced
//! while the process runs, or that lies beside what must stay out of reach, is opened by the monitor
//! and comes as a file descriptor. Which files those are is a list that both sides make from the
//! configuration. The monitor goes by its own copy, and compares paths letter by letter.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::call::CallRefusal;
use super::client::{CallError, Client};
use super::requests::{FileAnswer, FilePurpose, FileRequest};
use crate::sys::files::{Direct, Files};

/// The files that are opened for a process, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedFiles {
    files: Vec<(PathBuf, FilePurpose)>,
}

impl AllowedFiles {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, purpose: FilePurpose) -> Self {
        self.files.push((path.into(), purpose));
        self
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = (&Path, FilePurpose)> {
        self.files
            .iter()
            .map(|(path, purpose)| (path.as_path(), *purpose))
    }

    /// Whether a file is opened for this purpose. Paths are compared letter by letter: nothing is
    /// resolved.
    #[must_use]
    pub fn has(&self, path: &Path, purpose: FilePurpose) -> bool {
        let path = path.as_os_str();
        self.files()
            .any(|(other, for_what)| other.as_os_str() == path && for_what == purpose)
    }

    /// Opens one of these files for the process that asks.
    ///
    /// # Errors
    /// `PermissionDenied` for any other file, and the operating system's.
    pub fn open(&self, path: &Path, purpose: FilePurpose) -> io::Result<File> {
        if !self.has(path, purpose) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        open(&Direct, path, purpose)
    }
}

fn open(files: &dyn Files, path: &Path, purpose: FilePurpose) -> io::Result<File> {
    match purpose {
        FilePurpose::Read => files.open_read(path),
        FilePurpose::Append => files.open_append(path),
    }
}

/// Has the monitor open the files of the list; opens all others in this process.
#[derive(Debug)]
pub struct RemoteFiles {
    allowed: AllowedFiles,
    client: Client,
}

impl RemoteFiles {
    /// For a process that may have these files opened.
    #[must_use]
    pub fn new(allowed: AllowedFiles, client: Client) -> Self {
        Self { allowed, client }
    }

    fn open(&self, path: &Path, purpose: FilePurpose) -> io::Result<File> {
        if !self.allowed.has(path, purpose) {
            return open(&Direct, path, purpose);
        }
        let request = FileRequest {
            path: path.as_os_str().to_owned(),
            purpose,
        };
        let (answer, files) = self.client.call(&request).map_err(io_error)?;
        match (answer, files.into_iter().next()) {
            (FileAnswer::Opened, Some(file)) => Ok(file.into()),
            (FileAnswer::Opened, None) => Err(io::ErrorKind::InvalidData.into()),
            (FileAnswer::Failed(number), _) => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

fn io_error(error: CallError) -> io::Error {
    match error {
        CallError::Io(error) => error,
        CallError::HungUp | CallError::Refused(CallRefusal::Busy) => {
            io::ErrorKind::UnexpectedEof.into()
        }
        CallError::Timeout(_) => io::Error::new(
            io::ErrorKind::TimedOut,
            "the monitor does not open it in time",
        ),
        CallError::Refused(CallRefusal::Forbidden) => io::ErrorKind::PermissionDenied.into(),
        CallError::Nonsense => io::ErrorKind::InvalidData.into(),
    }
}

impl Files for RemoteFiles {
    fn open_read(&self, path: &Path) -> io::Result<File> {
        self.open(path, FilePurpose::Read)
    }

    fn open_append(&self, path: &Path) -> io::Result<File> {
        self.open(path, FilePurpose::Append)
    }
}
