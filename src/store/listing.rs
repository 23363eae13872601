//! The recordings of a directory: their properties, their state, and how to find one.

use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::error::StoreError;
use super::file::FILE_SUFFIX;
use super::lock;
use super::opening::decode;
use crate::recording::{ExitNote, Footer, Header, RecordingError};
use crate::sys::fs::{self, FsError};

/// How a recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingStatus {
    /// Its session goes on: the writer holds its lock.
    Recording,
    /// It has its footer.
    Complete,
    /// Its writer is gone and left no footer, or recovery wrote it: everything up to the last
    /// complete event is there.
    Recovered,
}

impl RecordingStatus {
    /// The word in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Complete => "complete",
            Self::Recovered => "recovered",
        }
    }
}

/// One recording of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who, where, what.
    pub header: Header,
    /// How it stands.
    pub standing: RecordingStatus,
    /// When it ended; for one without footer, when it was last written to.
    pub end: Option<DateTime<Utc>>,
    /// How the session ended, where a footer says so.
    pub exit: ExitNote,
    /// Bytes of the file so far.
    pub size: u64,
    /// The file.
    pub file: PathBuf,
}

/// A directory's recordings.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sorted by start, then by id.
    pub entries: Vec<Entry>,
    /// Files with a recording's name that are none.
    pub unreadable: Vec<(PathBuf, StoreError)>,
}

/// Lists a directory. One that is not there has no recordings. Links, pipes and whatever else is no
/// regular file are none.
///
/// Only the first frame and the footer of each file are read.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(directory: &Path) -> Result<Listing, StoreError> {
    let mut listing = Listing::default();
    for (path, _) in paths(directory)? {
        match entry(&path) {
            Ok(entry) => listing.entries.push(entry),
            Err(error) => listing.unreadable.push((path, error)),
        }
    }
    listing
        .entries
        .sort_by_key(|entry| (entry.header.start, entry.header.session));
    listing.unreadable.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(listing)
}

/// The files whose session id begins with these characters, sorted. Only regular files: nothing else
/// stands in the way of a recording that is looked for.
///
/// # Errors
/// When the directory cannot be read.
pub fn find(directory: &Path, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let prefix = prefix.to_ascii_lowercase();
    let is_named = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&prefix))
    };
    let mut found: Vec<PathBuf> = paths(directory)?
        .into_iter()
        .filter(|(path, is_file)| *is_file && is_named(path))
        .map(|(path, _)| path)
        .collect();
    found.sort();
    Ok(found)
}

/// What has a recording's name, and whether it is a regular file.
fn paths(directory: &Path) -> Result<Vec<(PathBuf, bool)>, StoreError> {
    let failed = |error| FsError::io("read directory", directory)(error);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.ends_with(FILE_SUFFIX)) {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            paths.push((path, is_file));
        }
    }
    Ok(paths)
}

/// What one file says of itself, from its first frame and its footer.
///
/// # Errors
/// When it cannot be read, or is no recording.
pub fn entry(path: &Path) -> Result<Entry, StoreError> {
    let mut file = fs::open_regular_entry(path)?;
    // Before the footer is looked for: a writer that ends in between has written it by then.
    let is_written = lock::is_taken(&file);
    let header = decode(BufReader::with_capacity(4 << 10, &file))?
        .header()
        .clone();
    file.rewind().map_err(RecordingError::Read)?;
    let footer = Footer::find(&mut file)?;
    let metadata = file.metadata().map_err(RecordingError::Read)?;
    let size = metadata.len();
    let last_write = metadata.modified().ok();
    Ok(match footer {
        Some(footer) => Entry {
            header,
            standing: if footer.recovered {
                RecordingStatus::Recovered
            } else {
                RecordingStatus::Complete
            },
            end: Some(footer.end),
            exit: footer.exit,
            size,
            file: path.to_owned(),
        },
        None => Entry {
            header,
            standing: if is_written {
                RecordingStatus::Recording
            } else {
                RecordingStatus::Recovered
            },
            end: last_write.filter(|_| !is_written).map(DateTime::from),
            exit: ExitNote::Unknown,
            size,
            file: path.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;
    use crate::model::{SessionId, SessionKind};
    use crate::recording::testing::header;
    use crate::recording::{ExitSignal, Live, Options};
    use crate::sys::fs::until_unlocked;

    const ORIGIN: Duration = Duration::ZERO;

    fn create(directory: &Path, start_plus: i64) -> Live<File> {
        let mut header = header(SessionKind::Exec, false);
        header.session = SessionId::new();
        header.start += chrono::TimeDelta::seconds(start_plus);
        crate::store::file::start(directory, &header, Options::default(), ORIGIN).unwrap()
    }

    /// A recording whose writer is gone.
    fn abandon(directory: &Path, start_plus: i64) {
        let before = find(directory, "").unwrap();
        drop(create(directory, start_plus));
        for path in find(directory, "").unwrap() {
            if !before.contains(&path) {
                until_unlocked(&path);
            }
        }
    }

    #[test]
    fn a_listing_tells_how_each_stands_in_order_of_start() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("recordings");
        let going_on = create(&directory, 30);
        let mut complete = create(&directory, 20);
        let signal = ExitSignal {
            name: "KILL".into(),
            core: false,
            message: "".into(),
        };
        complete.exit(ORIGIN, &ExitNote::Signal(signal.clone()));
        complete.finish(Duration::from_secs(5)).unwrap();
        abandon(&directory, 10);
        fs::create_new(&directory.join("x.cast.zst"), 0o600).unwrap();
        fs::create_new(&directory.join("notes.txt"), 0o600).unwrap();

        let listing = list(&directory).unwrap();
        let standings: Vec<_> = listing.entries.iter().map(|entry| entry.standing).collect();
        assert_eq!(
            standings,
            [
                RecordingStatus::Recovered,
                RecordingStatus::Complete,
                RecordingStatus::Recording
            ]
        );
        let [recovered, complete, recording] = listing.entries.as_slice() else {
            panic!("three entries");
        };
        assert_eq!(complete.exit, ExitNote::Signal(signal));
        assert_eq!(
            complete.end.unwrap(),
            complete.header.start + chrono::TimeDelta::seconds(5)
        );
        assert!(recovered.end.is_some() && recording.end.is_none());
        assert_eq!(listing.unreadable.len(), 1);
        drop(going_on);
    }

    /// A pipe without a writer is not waited for.
    #[test]
    fn what_is_no_regular_file_is_no_recording() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(format!("{name}{FILE_SUFFIX}"));
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), mode).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        // A link to a recording is none either: it would be listed twice.
        let elsewhere = tempfile::tempdir().unwrap();
        let elsewhere = elsewhere.path().join("recordings");
        abandon(&elsewhere, 0);
        let real = find(&elsewhere, "").unwrap().remove(0);
        std::os::unix::fs::symlink(real, path("link")).unwrap();
        assert!(find(directory.path(), "").unwrap().is_empty());
        let listing = list(directory.path()).unwrap();
        assert_eq!((listing.entries.len(), listing.unreadable.len()), (0, 5));
        for (path, error) in listing.unreadable {
            let text = error.to_string();
            assert!(
                text.ends_with("is no regular file"),
                "{}: {text}",
                path.display()
            );
        }
    }

    #[test]
    fn a_missing_directory_has_no_recordings() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        assert!(list(&missing).unwrap().entries.is_empty());
        assert!(find(&missing, "").unwrap().is_empty());
    }

    #[test]
    fn a_recording_is_found_by_the_beginning_of_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("recordings");
        abandon(&directory, 0);
        abandon(&directory, 0);
        let all = find(&directory, "").unwrap();
        assert_eq!(all.len(), 2);
        let name = all[0].file_name().unwrap().to_str().unwrap();
        let id = name.strip_suffix(FILE_SUFFIX).unwrap();
        assert_eq!(find(&directory, &id.to_uppercase()).unwrap(), all[..1]);
        assert!(find(&directory, "zz").unwrap().is_empty());
    }
}
