//! The last step of a recording: it is synced to the disk, or the sync fails.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::threads::Job;
use crate::model::SessionId;
use crate::recording::Summary;

/// A recording to which nothing will be added. What comes after a session (an upload, an index) begins
/// with one of these.
#[derive(Debug)]
pub struct Finished {
    /// Its session.
    pub session: SessionId,
    /// The file.
    pub file: PathBuf,
    /// What its footer says, and its size.
    pub summary: Summary,
    /// Whether the disk has it; else a power cut may take some of it.
    pub synced: io::Result<()>,
}

/// What is done with a finished recording.
pub type OnFinished = Box<dyn FnOnce(Finished) + Send>;

/// How a file is synced.
type SyncFn = dyn Fn(&File) -> io::Result<()> + Send + Sync;

/// Asks the disk to keep a file; returns when it has.
#[derive(Clone)]
pub(super) struct SyncFile(Arc<SyncFn>);

impl SyncFile {
    /// The operating system's way.
    pub(super) fn all() -> Self {
        Self(Arc::new(File::sync_all))
    }

    /// Another way.
    #[cfg(test)]
    pub(super) fn by(sync: impl Fn(&File) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sync))
    }
}

impl fmt::Debug for SyncFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncFile")
    }
}

/// A recording that was written and is not known to be on the disk.
pub(super) struct Unsynced {
    pub(super) session: SessionId,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) summary: Summary,
    pub(super) sync: SyncFile,
    pub(super) then: OnFinished,
}

impl fmt::Debug for Unsynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsynced")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Unsynced {
    /// Unlocks the file and passes the recording on.
    fn finished(self, synced: io::Result<()>) {
        drop(self.file);
        (self.then)(Finished {
            session: self.session,
            file: self.path,
            summary: self.summary,
            synced,
        });
    }
}

impl Job for Unsynced {
    fn run(self) {
        let synced = (self.sync.0)(&self.file);
        self.finished(synced);
    }

    fn give_up(self, error: io::Error) {
        self.finished(Err(error));
    }
}
