//! The block as a file below `~/.ssh`, included by `~/.ssh/config`.
//!
//! rproxy owns the files `rproxy/CLUSTER.config` and `rproxy/CLUSTER.known_hosts`; in `config` it owns
//! one line, and changes no other. A file is replaced atomically, with the mode that it had.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::super::{Exit, Failure};
use crate::model::ClusterName;
use crate::sys::directory::Directory;
use crate::sys::fs::{FsError, PRIVATE_FILE, PUBLIC_FILE};

/// Largest `config` that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// What ssh itself expands, on every system.
const HOME_SSH: &str = "~/.ssh";

/// Where the files of one cluster are.
#[derive(Debug)]
pub(super) struct InstallPaths {
    /// The directory as ssh's configuration names it.
    name: String,
    /// The directory as we write to it; empty where nothing is written.
    directory: PathBuf,
    cluster: String,
}

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileChange {
    path: PathBuf,
    verb: &'static str,
    removed: Vec<String>,
    added: Vec<String>,
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.verb, self.path.display())?;
        for (sign, lines) in [('-', &self.removed), ('+', &self.added)] {
            for line in lines {
                writeln!(f, "  {sign} {line}")?;
            }
        }
        Ok(())
    }
}

impl InstallPaths {
    /// The place for a block that is only printed.
    pub(super) fn named(ssh_dir: Option<&Path>, cluster: &ClusterName) -> Result<Self, Failure> {
        Ok(Self {
            name: match ssh_dir {
                None => HOME_SSH.to_owned(),
                Some(directory) => written(directory)?.trim_end_matches('/').to_owned(),
            },
            directory: PathBuf::new(),
            cluster: cluster.to_string(),
        })
    }

    /// The place for files.
    pub(super) fn find(ssh_dir: Option<&Path>, cluster: &ClusterName) -> Result<Self, Failure> {
        let directory = match ssh_dir {
            Some(directory) => std::path::absolute(directory).map_err(|error| {
                Failure::new(Exit::Failed, "cannot use the value of --ssh-dir").because(error)
            })?,
            None => std::env::home_dir()
                .filter(|home| home.is_absolute())
                .map(|home| home.join(".ssh"))
                .ok_or_else(|| {
                    Failure::new(Exit::Failed, "there is no home directory to install in")
                        .hint("name the directory with --ssh-dir, or set HOME")
                })?,
        };
        Ok(Self {
            directory,
            ..Self::named(ssh_dir, cluster)?
        })
    }

    /// The known-hosts file, as ssh's configuration names it.
    pub(super) fn known_hosts_name(&self) -> String {
        format!("{}/rproxy/{}.known_hosts", self.name, self.cluster)
    }

    fn block_name(&self) -> String {
        format!("{}/rproxy/{}.config", self.name, self.cluster)
    }

    /// Brings all files to where they should be: what is included comes before what includes it.
    pub(super) fn install(
        &self,
        block: &str,
        known_hosts: &str,
    ) -> Result<Vec<FileChange>, Failure> {
        self.place(block, known_hosts).map_err(|error| {
            let is_link = matches!(error, FsError::Link { .. });
            let failure = Failure::new(Exit::Failed, "cannot install the block").because(error);
            match is_link {
                true => failure.hint("run the command as that user, or name the real directory"),
                false => failure,
            }
        })
    }

    fn place(&self, block: &str, known_hosts: &str) -> Result<Vec<FileChange>, FsError> {
        // A directory that is there is the user's: ssh itself says when it is too open.
        let own = Directory::make(&self.directory.join("rproxy"))?;
        let _lock = own.lock("lock")?;
        let file = |suffix: &str| OsString::from(format!("{}.{suffix}", self.cluster));
        Ok(vec![
            replace(
                &own,
                &file("known_hosts"),
                known_hosts.as_bytes(),
                PUBLIC_FILE,
            )?,
            replace(&own, &file("config"), block.as_bytes(), PUBLIC_FILE)?,
            self.include()?,
        ])
    }

    /// The line stands before everything else: after a `Host` line it would hold for that host only.
    fn include(&self) -> Result<FileChange, FsError> {
        // Where the file is a link into the user's dotfiles, the link stays.
        let (directory, file) = Directory::of(&self.directory.join("config"))?;
        let old = directory.read(&file, MAX_CONFIG)?;
        let old = old.map(|content| content.bytes).unwrap_or_default();
        let name = self.block_name();
        if includes(&String::from_utf8_lossy(&old), &name) {
            return replace(&directory, &file, &old, PRIVATE_FILE);
        }
        let mut new = format!("Include {name}\n").into_bytes();
        if !old.is_empty() {
            new.push(b'\n');
        }
        new.extend_from_slice(&old);
        replace(&directory, &file, &new, PRIVATE_FILE)
    }
}

/// Whether the text includes the file for all hosts.
fn includes(text: &str, name: &str) -> bool {
    let words = |line: &str| {
        let words = line.split(|c: char| c.is_whitespace() || c == '=' || c == '"');
        let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    text.lines()
        .map(words)
        .take_while(|words| {
            let section = |word: &String| {
                ["host", "match"]
                    .iter()
                    .any(|s| word.eq_ignore_ascii_case(s))
            };
            !words.first().is_some_and(section)
        })
        .any(|words| match words.as_slice() {
            [keyword, files @ ..] => {
                keyword.eq_ignore_ascii_case("include") && files.iter().any(|file| file == name)
            }
            [] => false,
        })
}

/// Gives the file this content, unless it has it.
fn replace(
    directory: &Directory,
    name: &OsStr,
    content: &[u8],
    mode: u32,
) -> Result<FileChange, FsError> {
    let old = directory.read(name, MAX_CONFIG)?;
    let verb = match &old {
        Some(old) if old.bytes == content => "unchanged",
        Some(_) => "changed",
        None => "added",
    };
    if verb != "unchanged" {
        let mode = old.as_ref().map_or(mode, |old| old.mode);
        directory.write(name, content, mode)?;
    }
    let old = old.map(|old| old.bytes).unwrap_or_default();
    let (removed, added) = difference(&old, content);
    Ok(FileChange {
        path: directory.path().join(name),
        verb,
        removed,
        added,
    })
}

/// The lines between what both texts begin and end with.
fn difference(old: &[u8], new: &[u8]) -> (Vec<String>, Vec<String>) {
    let lines = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut old, mut new) = (lines(old), lines(new));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    old.drain(..same);
    new.drain(..same);
    while old.last().is_some() && old.last() == new.last() {
        old.pop();
        new.pop();
    }
    (old, new)
}

/// A path as it goes into the block: ssh would read a relative one against wherever it runs.
pub(super) fn written(path: &Path) -> Result<String, Failure> {
    let refused = || Failure::new(Exit::Failed, format!("cannot use {}", path.display()));
    let path = if path.starts_with("~") {
        path.to_owned()
    } else {
        std::path::absolute(path).map_err(|error| refused().because(error))?
    };
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| refused().hint("choose a path that is text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_include_for_all_hosts_counts() {
        let name = "~/.ssh/rproxy/c.config";
        for yes in [
            "Include ~/.ssh/rproxy/c.config",
            "# mine\nUser x\n\tinclude \"~/.ssh/rproxy/c.config\"\nHost a\n",
            "Include other ~/.ssh/rproxy/c.config",
        ] {
            assert!(includes(yes, name), "{yes}");
        }
        for no in [
            "",
            "# Include ~/.ssh/rproxy/c.config",
            "Host a\n  Include ~/.ssh/rproxy/c.config",
            "match all\nInclude ~/.ssh/rproxy/c.config",
            "Include ~/.ssh/rproxy/cc.config",
        ] {
            assert!(!includes(no, name), "{no}");
        }
    }

    #[test]
    fn the_difference_is_what_changed_and_nothing_around_it() {
        let lines = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            difference(b"a\nb\nc\n", b"a\nx\ny\nc\n"),
            (lines(&["b"]), lines(&["x", "y"]))
        );
        assert_eq!(difference(b"a\n", b"i\na\n"), (lines(&[]), lines(&["i"])));
        assert_eq!(difference(b"a\n", b"a\n"), (lines(&[]), lines(&[])));
    }
}
