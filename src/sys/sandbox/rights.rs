//! The rights in a sandbox plan, and the kernel's means to withdraw them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags};
use thiserror::Error;

use crate::model::text;

/// Why a process is not confined.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Other threads would keep every right.
    #[error("{0} threads run already, and a sandbox holds only for the one that enters it")]
    Threads(usize),
    /// A place that the plan keeps cannot be found.
    #[error("cannot keep {}", text::path(path))]
    Place {
        /// The place.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The kernel has Landlock, and refuses.
    #[error("the kernel refuses the Landlock rules")]
    Landlock(#[from] ::landlock::RulesetError),
    /// The table of system calls cannot be translated: a bug.
    #[error("the seccomp filter cannot be made")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel has seccomp, and refuses.
    #[error("the kernel refuses the seccomp filter")]
    Seccomp(#[from] seccompiler::Error),
}

/// What is still possible with the files at a place: it and all that is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Directories are listed, and synced to the disk. No file is opened.
    List,
    /// Files are read and directories listed.
    Read,
    /// Files that are there are read and written, also from the start. None is made or removed.
    Write,
    /// New files are made, all are written. None is read, listed, cut, removed, renamed or replaced.
    Make,
    /// Files and Unix sockets are made, written, cut, renamed within their directory and removed.
    Own,
}

/// A place that stays in reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPath {
    /// Where.
    pub path: PathBuf,
    /// For what.
    pub keep: Keep,
    /// Whether it has to be there.
    pub(super) needed: bool,
}

/// Which local TCP ports may still be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// None.
    Nothing,
    /// One that the kernel picks: for connections that go out from an address of choice.
    Ephemeral,
    /// Any.
    Anything,
}

/// A place while rules are made for it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) keep: Keep,
    pub(super) is_directory: bool,
}

impl Opened {
    /// Opens what the path leads to, for nothing but to name it.
    pub(super) fn open(place: &AllowedPath) -> io::Result<Self> {
        let fd = rustix::fs::open(&place.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mode = rustix::fs::fstat(&fd)?.st_mode;
        Ok(Self {
            fd,
            keep: place.keep,
            is_directory: FileType::from_raw_mode(mode) == FileType::Directory,
        })
    }
}

/// Landlock, as this kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// With this version of its interface (the kernel's, or the newest that we know).
    Abi(u8),
    /// Not at all, and why.
    Missing(&'static str),
}

/// Seccomp filters, as this kernel has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// They work.
    Filter,
    /// Not at all, and why.
    Missing(&'static str),
}
