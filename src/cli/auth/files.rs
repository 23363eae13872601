//! The files that `auth sign` writes: all of them, or none.

use std::io;
use std::path::PathBuf;

use rustix::fs::Access;
use zeroize::Zeroizing;

use super::super::{Exit, Failure};
use crate::sys::fs::{FsError, Replace, Staged, check_replaceable, directory_of};

/// One file to be written.
pub(in crate::cli) struct Output {
    pub(in crate::cli) path: PathBuf,
    pub(in crate::cli) mode: u32,
    pub(in crate::cli) content: Zeroizing<String>,
}

/// Checks, before anything is signed, that the files can be written: their directories are there,
/// and existing files may go. `ask` puts a question to the user, where there is one.
///
/// # Errors
/// Names what is in the way.
pub(in crate::cli) fn check(
    paths: &[PathBuf],
    overwrite: bool,
    ask: impl FnOnce(&str) -> Result<bool, Failure>,
) -> Result<Replace, Failure> {
    for path in paths {
        let directory = directory_of(path);
        rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|errno| {
            Failure::new(
                Exit::Failed,
                format!("cannot write to {}", directory.display()),
            )
            .because(io::Error::from(errno))
        })?;
    }
    let existing: Vec<_> = paths
        .iter()
        .filter(|p| p.symlink_metadata().is_ok())
        .collect();
    if let Some(directory) = existing.iter().find(|path| path.is_dir()) {
        let message = format!("{} is a directory", directory.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    for path in &existing {
        check_replaceable(path).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    }
    if existing.is_empty() {
        return Ok(Replace::Refuse);
    }
    if overwrite {
        return Ok(Replace::Allow);
    }
    let names: Vec<_> = existing.iter().map(|p| p.display().to_string()).collect();
    let names = names.join(", ");
    let verb = if existing.len() == 1 {
        "exists"
    } else {
        "exist"
    };
    if ask(&format!("{names} {verb} already. Replace?"))? {
        return Ok(Replace::Allow);
    }
    Err(
        Failure::new(Exit::Failed, format!("{names} already {verb}"))
            .hint("choose another --out, or replace with --overwrite"),
    )
}

/// Writes the files in the given order. When one fails, those that are new are taken back.
///
/// # Errors
/// Names the file that could not be written.
pub(in crate::cli) fn write(outputs: &[Output], replace: Replace) -> Result<(), Failure> {
    place(outputs, replace)
        .map_err(|error| Failure::new(Exit::Failed, "cannot write the credentials").because(error))
}

fn place(outputs: &[Output], replace: Replace) -> Result<(), FsError> {
    let staged = outputs
        .iter()
        .map(|output| Staged::write(&output.path, output.content.as_bytes(), output.mode))
        .collect::<Result<Vec<_>, _>>()?;
    let mut placed = Vec::new();
    for (staged, output) in staged.into_iter().zip(outputs) {
        if let Err(error) = staged.place(replace) {
            if replace == Replace::Refuse {
                for path in placed {
                    // The first error is the one to tell.
                    let _taken_back = std::fs::remove_file(path);
                }
            }
            return Err(error);
        }
        placed.push(&output.path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::fs::{PRIVATE_FILE, PUBLIC_FILE, write_whole};

    fn output(path: &Path, content: &str) -> Output {
        Output {
            path: path.to_owned(),
            mode: PUBLIC_FILE,
            content: Zeroizing::new(content.to_owned()),
        }
    }

    #[test]
    fn when_one_file_cannot_be_written_none_is() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let taken = directory.path().join("key-cert.pub");
        write_whole(&taken, b"theirs", PRIVATE_FILE, Replace::Refuse).unwrap();
        let written = write(&[output(&key, "a"), output(&taken, "b")], Replace::Refuse);
        assert!(written.is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&taken).unwrap(), b"theirs");
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_found_before() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        write_whole(&file, b"", PUBLIC_FILE, Replace::Refuse).unwrap();
        let no = |_: &str| Ok(false);
        assert!(check(&[file.join("below")], true, no).is_err());
        assert!(check(&[directory.path().join("none/key")], true, no).is_err());
        assert!(check(&[directory.path().to_owned()], true, no).is_err());
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = check(std::slice::from_ref(&socket), true, no).unwrap_err();
        assert!(
            refused.to_string().contains("is no regular file"),
            "{refused}"
        );
        let new = directory.path().join("new");
        assert_eq!(
            check(std::slice::from_ref(&new), false, no).unwrap(),
            Replace::Refuse
        );
    }

    #[test]
    fn an_existing_file_goes_only_when_the_user_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        write_whole(&file, b"", PUBLIC_FILE, Replace::Refuse).unwrap();
        let refused = check(std::slice::from_ref(&file), false, |_| Ok(false)).unwrap_err();
        assert!(refused.to_string().contains("already exists"), "{refused}");
        let asked = |question: &str| Ok(question.contains("key exists already"));
        assert_eq!(
            check(std::slice::from_ref(&file), false, asked).unwrap(),
            Replace::Allow
        );
        let not_asked = |_: &str| Err(Failure::new(Exit::Internal, "asked"));
        assert_eq!(
            check(std::slice::from_ref(&file), true, not_asked).unwrap(),
            Replace::Allow
        );
    }
}
