//! What was made, and is removed again if not all of it can be made.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::sys::fs::FsError;

/// Removes, when it is dropped, what it was told of.
#[derive(Debug, Default)]
pub(super) struct Undo {
    /// Directories, the outermost first. They are removed if they are empty.
    dirs: Vec<PathBuf>,
    /// Files, and directories with all that is in them.
    trees: Vec<PathBuf>,
}

impl Undo {
    /// Makes a directory and those that it is in, as far as they are missing.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn make_dir(&mut self, directory: &Path, mode: u32) -> Result<(), FsError> {
        let missing: Vec<&Path> = directory
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err())
            .collect();
        for path in missing.into_iter().rev() {
            create(path, mode)?;
            self.dirs.push(path.to_owned());
        }
        Ok(())
    }

    /// Makes a directory that is not there; it is removed with all that is in it.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn make_tree(&mut self, directory: &Path, mode: u32) -> Result<(), FsError> {
        create(directory, mode)?;
        self.trees.push(directory.to_owned());
        Ok(())
    }

    /// Something that was made elsewhere is here now.
    pub(super) fn moved(&mut self, place: PathBuf) {
        self.trees.push(place);
    }

    /// The directories that were made.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(PathBuf::as_path)
    }

    /// All is done: nothing is removed.
    pub(super) fn keep(mut self) {
        self.dirs.clear();
        self.trees.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for path in self.trees.iter().rev() {
            // What cannot be removed stays: the failure that led here is the one to tell.
            let _gone = match path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                true => std::fs::remove_dir_all(path),
                false => std::fs::remove_file(path),
            };
        }
        for path in self.dirs.iter().rev() {
            let _in_use = std::fs::remove_dir(path);
        }
    }
}

fn create(directory: &Path, mode: u32) -> Result<(), FsError> {
    DirBuilder::new()
        .mode(mode)
        .create(directory)
        .map_err(FsError::io("create directory", directory))
}
