//! Opens files for workers, which cannot any more: those that a running proxy reads again, and the audit
//! log.
//!
//! What is opened stands in a list that this process has made from its own configuration. What a worker
//! says about a file is compared with that list, letter by letter, and is nothing else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ca::RevocationLog;
use crate::config::{Config, DEFAULT_FILE, Source};
use crate::sys::clock::Clock;
use crate::sys::lent::{Purpose, Shelf};
use crate::sys::names;
use crate::sys::post::Post;

/// How many files may be being opened for one worker at a time.
const AT_ONCE: usize = 8;

/// The files that are lent. They are those of the start: what names another file needs a restart.
#[must_use]
pub fn shelf(config: &Config, source: &Source) -> Shelf {
    let audit = config.data_dir.audit_log();
    let revoked = RevocationLog::new(&config.data_dir, Clock::System);
    // Where there is none, that has to be seen too.
    let file = source
        .file
        .as_deref()
        .unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let tls = config.proxy.web.as_ref().and_then(|web| web.tls.as_ref());
    let tls = tls.map_or_else(Vec::new, |tls| vec![&tls.cert_file, &tls.key_file]);
    // Warnings of once a day look for yesterday's.
    let shelf = Shelf::new()
        .with(&audit, Purpose::Append)
        .with(&audit, Purpose::Read);
    let banner = config.proxy.banner_file.as_deref();
    [revoked.path(), file]
        .into_iter()
        .chain(banner)
        .chain(tls.into_iter().map(PathBuf::as_path))
        // How names are resolved changes while it runs.
        .chain(names::ALL.map(Path::new))
        .fold(shelf, |shelf, path| shelf.with(path, Purpose::Read))
}

/// What opens files for one worker.
#[derive(Debug)]
pub(super) struct Lending {
    shelf: Arc<Shelf>,
    busy: Arc<()>,
}

impl Lending {
    pub(super) fn new(shelf: Arc<Shelf>) -> Self {
        Self {
            shelf,
            busy: Arc::default(),
        }
    }

    /// Opens one file and sends it, or why not: the number of the operating system's error. On a thread
    /// of its own, because to open a file may take for ever, and the worker has more to say meanwhile.
    /// One too many gets no answer.
    pub(super) fn lend(&self, path: PathBuf, purpose: Purpose, answer: OwnedFd) {
        let (place, shelf) = (Arc::clone(&self.busy), Arc::clone(&self.shelf));
        // Ours, this one's, and those of the others.
        if Arc::strong_count(&place) > 1 + AT_ONCE {
            return tracing::warn!(path = %path.display(), "too many files are being opened for a worker");
        }
        let lend = move || {
            let _place = place;
            send(shelf.open(&path, purpose), &Post::of(answer));
        };
        let started = std::thread::Builder::new()
            .name("lending".to_owned())
            .spawn(lend);
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to open a file for a worker");
        }
    }
}

fn send(opened: io::Result<File>, answer: &Post) {
    let sent = match opened {
        Ok(file) => answer.send(b"0", &[file.as_fd()]),
        Err(error) => answer.send(number(&error).to_string().as_bytes(), &[]),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a worker did not wait for its file");
    }
}

fn number(error: &io::Error) -> i32 {
    let denied = rustix::io::Errno::ACCESS.raw_os_error();
    error.raw_os_error().unwrap_or(denied)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};
    use crate::sys::post::Parcel;

    /// Asks for a file; where the answer comes.
    fn ask(lending: &Lending, path: &Path, purpose: Purpose) -> Post {
        let (ours, theirs) = Post::pair().unwrap();
        ours.set_patience(Duration::from_secs(20)).unwrap();
        let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
        lending.lend(path.to_owned(), purpose, theirs);
        ours
    }

    fn read(parcel: Parcel) -> String {
        let [file] = <[OwnedFd; 1]>::try_from(parcel.files).unwrap();
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_on_the_shelf_is_sent_and_why_not_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        let missing = directory.path().join("missing");
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let shelf = Shelf::new()
            .with(&there, Purpose::Read)
            .with(&missing, Purpose::Read);
        let lending = Lending::new(Arc::new(shelf));
        let asked = |path: &Path, purpose| {
            let answer = ask(&lending, path, purpose);
            answer.receive().unwrap().unwrap()
        };
        assert_eq!(read(asked(&there, Purpose::Read)), "text");
        for (path, purpose, number) in [
            (&missing, Purpose::Read, "2"),
            (&there, Purpose::Append, "13"),
            (&directory.path().join("other"), Purpose::Read, "13"),
        ] {
            let parcel = asked(path, purpose);
            assert_eq!(parcel.message, number.as_bytes());
            assert!(parcel.files.is_empty());
        }
    }

    /// A pipe opens when somebody writes to it.
    #[test]
    fn a_file_that_does_not_open_holds_up_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let (there, pipe) = (
            directory.path().join("there"),
            directory.path().join("pipe"),
        );
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let shelf = Shelf::new()
            .with(&there, Purpose::Read)
            .with(&pipe, Purpose::Read);
        let lending = Lending::new(Arc::new(shelf));
        let mut hanging: Vec<Post> = (1..AT_ONCE)
            .map(|_| ask(&lending, &pipe, Purpose::Read))
            .collect();
        let parcel = ask(&lending, &there, Purpose::Read).receive().unwrap();
        assert_eq!(read(parcel.unwrap()), "text");
        // Its thread may need a moment to be gone.
        while Arc::strong_count(&lending.busy) > AT_ONCE {
            std::thread::yield_now();
        }
        hanging.push(ask(&lending, &pipe, Purpose::Read));
        let one_more = ask(&lending, &there, Purpose::Read);
        assert!(one_more.receive().unwrap().is_none());
        let _writer = File::options().append(true).open(&pipe).unwrap();
        for answer in hanging {
            assert_eq!(answer.receive().unwrap().unwrap().files.len(), 1);
        }
    }
}
