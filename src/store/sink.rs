//! Where the bytes of a recording go.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::StoreError;
use super::file::{create, file_name};
use super::finish::{OnFinished, SyncFile, Unsynced};
use super::threads::SyncThreads;
use crate::model::SessionId;
use crate::recording::Summary;
use crate::sys::fs;

/// Takes the bytes of one recording, in order. A write that has returned survives the death of the
/// process.
pub trait RecordingSink: Write + fmt::Debug + Send {
    /// Nothing is written any more: has the recording kept for good and passes it on to `then`, once,
    /// on a thread of the store's. Where that is not possible, `then` learns so at once. Never waits
    /// for the disk.
    fn finish(self: Box<Self>, summary: Summary, then: OnFinished);
}

/// The recordings of a proxy: their directory, and the threads that sync them. Clones share the
/// threads.
#[derive(Clone, Debug)]
pub struct Recordings {
    directory: Arc<Path>,
    threads: SyncThreads<Unsynced>,
    sync: SyncFile,
}

impl Recordings {
    /// Those of this directory, which is made for the first one.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into().into(),
            threads: SyncThreads::new(),
            sync: SyncFile::all(),
        }
    }

    /// The same with another way to sync a file.
    #[cfg(test)]
    pub(crate) fn synced_by(
        self,
        sync: impl Fn(&File) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let sync = SyncFile::by(sync);
        Self { sync, ..self }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of a session's recording.
    #[must_use]
    pub fn path(&self, session: SessionId) -> PathBuf {
        self.directory.join(file_name(session))
    }

    /// Creates the file of a session's recording, private and locked for as long as it is written.
    ///
    /// # Errors
    /// [`StoreError::NearlyFull`] when what is left of the disk is kept for recordings that run; when
    /// the file exists or cannot be made.
    pub fn create(&self, session: SessionId) -> Result<Box<dyn RecordingSink>, StoreError> {
        if fs::reserve_is_touched(&self.directory) {
            return Err(StoreError::NearlyFull);
        }
        Ok(Box::new(RecordingFile {
            session,
            file: create(&self.directory, session)?,
            path: self.path(session),
            threads: self.threads.clone(),
            sync: self.sync.clone(),
        }))
    }

    /// Waits until every finished recording was passed on, for so long at most: a process that exits
    /// forgets the others. Whether they were.
    #[must_use]
    pub fn settled(&self, limit: Duration) -> bool {
        self.threads.settled(limit)
    }
}

/// A file that is appended to.
#[derive(Debug)]
struct RecordingFile {
    session: SessionId,
    path: PathBuf,
    file: File,
    threads: SyncThreads<Unsynced>,
    sync: SyncFile,
}

impl Write for RecordingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl RecordingSink for RecordingFile {
    fn finish(self: Box<Self>, summary: Summary, then: OnFinished) {
        let Self {
            session,
            path,
            file,
            threads,
            sync,
        } = *self;
        threads.run(Unsynced {
            session,
            path,
            file,
            summary,
            sync,
            then,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::model::SessionKind;
    use crate::recording::testing::header;
    use crate::recording::{Live, Options};
    use crate::store::Finished;

    const LONG: Duration = Duration::from_secs(60);

    /// What becomes of an empty recording.
    fn finished(recordings: &Recordings) -> Finished {
        let mut header = header(SessionKind::Exec, false);
        header.session = SessionId::new();
        let sink = recordings.create(header.session).unwrap();
        let live = Live::start(sink, &header, Options::default(), Duration::ZERO).unwrap();
        let (sink, summary) = live.finish(Duration::from_secs(2)).unwrap();
        let (tell, told) = channel();
        sink.finish(
            summary,
            Box::new(move |finished| tell.send(finished).unwrap()),
        );
        let finished = told.recv_timeout(LONG).unwrap();
        assert_eq!(finished.session, header.session);
        assert_eq!(finished.file, recordings.path(header.session));
        assert!(recordings.settled(LONG));
        finished
    }

    #[test]
    fn a_finished_recording_is_passed_on_when_the_disk_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let (asked, syncs) = channel();
        let recordings = Recordings::new(directory.path().join("r")).synced_by(move |file| {
            asked.send(file.metadata().unwrap().len()).unwrap();
            file.sync_all()
        });
        let finished = finished(&recordings);
        finished.synced.unwrap();
        assert_eq!(finished.summary.footer.duration_ms, 2000);
        assert_eq!(syncs.try_recv().unwrap(), finished.summary.file_bytes);
    }

    #[test]
    fn a_disk_that_does_not_take_it_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let recordings = Recordings::new(directory.path().join("r"))
            .synced_by(|_| Err(io::Error::from_raw_os_error(5)));
        let error = finished(&recordings).synced.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    }
}
