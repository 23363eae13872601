//! The service that opens files for confined processes.
//!
//! A sandbox gives access to directories and files as they were when it was applied. A file that is
//! replaced while the process runs, or that is beside files that must not be accessible, is opened
//! by the monitor and passed as a file descriptor. Both sides compute the list of these files from
//! the configuration. The monitor uses its own copy, and compares paths byte by byte.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::call::CallRefusal;
use super::client::{CallError, Client};
use super::requests::{FileAnswer, FilePurpose, FileRequest};
use crate::sys::files::{Direct, Files};

/// The files that are opened for a process, and for which purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedFiles {
    files: Vec<(PathBuf, FilePurpose)>,
}

impl AllowedFiles {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
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

    /// Whether a file is opened for this purpose. Paths are compared byte by byte, without
    /// resolving anything.
    #[must_use]
    pub fn has(&self, path: &Path, purpose: FilePurpose) -> bool {
        let path = path.as_os_str();
        self.files()
            .any(|(other, for_what)| other.as_os_str() == path && for_what == purpose)
    }

    /// Opens one of these files for the calling process.
    ///
    /// # Errors
    /// `PermissionDenied` for any other file; errors of the operating system.
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

/// Asks the monitor to open the files of the list; opens all other files in this process.
#[derive(Debug)]
pub struct RemoteFiles {
    allowed: AllowedFiles,
    client: Client,
}

impl RemoteFiles {
    /// For a process with this list of files.
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
