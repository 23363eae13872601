//! Opens files for workers, which cannot any more: those that a running proxy reads again, and the audit
//! log.
//!
//! What is opened stands in a list that this process has made from its own configuration. What a worker
//! says about a file is compared with that list, letter by letter, and is nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::audit;
use crate::ca::RevocationLog;
use crate::config::{Config, DEFAULT_FILE, Source};
use crate::sys::clock::Clock;
use crate::sys::lent::{Purpose, Shelf};
use crate::sys::post::Post;

/// The files that are lent. They are those of the start: what names another file needs a restart.
#[must_use]
pub fn shelf(config: &Config, source: &Source) -> Shelf {
    let audit = config.data_dir.join(audit::FILE_NAME);
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
    [revoked.path(), file]
        .into_iter()
        .chain(tls.into_iter().map(PathBuf::as_path))
        .fold(shelf, |shelf, path| shelf.with(path, Purpose::Read))
}

/// Opens one file for a worker and sends it, or why not: the number of the operating system's error.
pub(super) fn lend(shelf: &Shelf, path: &Path, purpose: Purpose, answer: OwnedFd) {
    let answer = Post::of(answer);
    let sent = match shelf.open(path, purpose) {
        Ok(file) => answer.send(b"0", &[file.as_fd()]),
        Err(error) => {
            let number = number(&error);
            answer.send(number.to_string().as_bytes(), &[])
        }
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

    use super::*;
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    #[test]
    fn what_is_on_the_shelf_is_sent_and_why_not_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        let missing = directory.path().join("missing");
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let shelf = Shelf::new()
            .with(&there, Purpose::Read)
            .with(&missing, Purpose::Read);
        let asked = |path: &Path, purpose| {
            let (ours, theirs) = Post::pair().unwrap();
            let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
            lend(&shelf, path, purpose, theirs);
            ours.receive().unwrap().unwrap()
        };
        let mut parcel = asked(&there, Purpose::Read);
        let mut file = std::fs::File::from(parcel.files.remove(0));
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
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
}
