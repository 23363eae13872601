//! Notices that a file was replaced, created or removed, from its metadata. It never reads the
//! file.
//!
//! A check costs one system call, works on every file system, and misses no file that was replaced
//! as `sys::fs` does it: a replaced file has another inode.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Some files, and how they looked when they were last looked at.
#[derive(Debug)]
pub struct FileWatch {
    files: Vec<(PathBuf, Option<Stamp>)>,
    is_new: bool,
}

/// What is different about a file whose content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl FileWatch {
    /// Watches these files, which need not be there, from now on.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let with_stamp = |path: PathBuf| {
            let stamp = stamp(&path);
            (path, stamp)
        };
        Self {
            files: paths.into_iter().map(with_stamp).collect(),
            is_new: false,
        }
    }

    /// Whether one of them has changed since the last time that this was asked.
    pub fn changed(&mut self) -> bool {
        let mut changed = std::mem::take(&mut self.is_new);
        for (path, seen) in &mut self.files {
            let now = stamp(path);
            changed |= *seen != now;
            *seen = now;
        }
        changed
    }

    /// The next time, all of them have changed.
    pub fn forget(&mut self) {
        self.is_new = true;
    }
}

fn stamp(path: &std::path::Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

    #[test]
    fn making_replacing_and_removing_are_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut watch = FileWatch::new([path.clone(), directory.path().join("never")]);
        assert!(!watch.changed());
        for content in [b"one", b"two"] {
            write_whole(&path, content, PUBLIC_FILE, Replace::Allow).unwrap();
            assert!(watch.changed());
            assert!(!watch.changed());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(watch.changed());
        assert!(!watch.changed());
        watch.forget();
        assert!(watch.changed());
        assert!(!watch.changed());
    }
}
