//! Confines a process once it has started: files and ports by Landlock, system calls by seccomp.
//! This cannot be undone.
//!
//! Both apply to the calling thread and to threads and processes that it starts later, so a program
//! calls this before it has a second thread. If the kernel lacks one of them, only the other applies
//! and [`Layers`] says so; if the kernel supports it and refuses, that is an error. The [`Plan`] says
//! what a program needs.

mod landlock;
mod rights;
mod seccomp;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rights::Opened;
pub use rights::{AllowedPath, Bind, Keep, Landlock, SandboxError, Seccomp};

/// Where Linux lists the threads of the process that asks.
const THREADS: &str = "/proc/self/task";

/// What a process keeps. It begins with nothing but what it has open.
///
/// Never possible under any plan: to run a program or start a process, and the system calls of the
/// table in `sandbox/seccomp.rs`. Always possible: what works on descriptors that are open already
/// (a listener's `accept` among it), threads, UDP, and to look at the metadata of files.
///
/// A place is what is there when the plan is entered, not its name. A file that is put in another's
/// place by a rename is out of reach, as is a directory that is made anew or mounted over: keep
/// directories, and in them what is replaced. What is kept of a directory is kept of all below it;
/// no part of it can be taken out.
#[derive(Clone, Debug)]
pub struct Plan {
    places: Vec<AllowedPath>,
    connects_tcp: bool,
    binds_tcp: Bind,
    unix_sockets: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

impl Plan {
    /// Keeps nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: Vec::new(),
            connects_tcp: false,
            binds_tcp: Bind::Nothing,
            unix_sockets: false,
        }
    }

    /// Keeps a place that has to be there.
    #[must_use]
    pub fn keep(mut self, keep: Keep, path: impl Into<PathBuf>) -> Self {
        self.places.push(AllowedPath {
            path: path.into(),
            keep,
            needed: true,
        });
        self
    }

    /// Keeps a place if it is there.
    #[must_use]
    pub fn keep_if_there(mut self, keep: Keep, path: impl Into<PathBuf>) -> Self {
        self.places.push(AllowedPath {
            path: path.into(),
            keep,
            needed: false,
        });
        self
    }

    /// Keeps TCP connections to any address and port.
    #[must_use]
    pub fn connect_tcp(mut self) -> Self {
        self.connects_tcp = true;
        self
    }

    /// Keeps these local TCP ports.
    #[must_use]
    pub fn bind_tcp(mut self, which: Bind) -> Self {
        self.binds_tcp = which;
        self
    }

    /// Keeps new Unix sockets. Where they may lead cannot be told apart on most kernels, so with them
    /// every agent of the same account stays in reach. Those that are open already, and pairs that cannot
    /// be connected to others, always stay.
    #[must_use]
    pub fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// The places that stay in reach.
    #[must_use]
    pub fn places(&self) -> &[AllowedPath] {
        &self.places
    }

    /// Enters the sandbox, for good. Has to be called while the process has one thread.
    ///
    /// # Errors
    /// When there are more threads, when a place that is needed is not there, or when the kernel
    /// refuses. The process may be half confined then, and should end.
    pub fn apply(self) -> Result<Confinement, SandboxError> {
        match threads() {
            // Without /proc it cannot be counted; the caller has promised.
            None | Some(1) => self.confine(),
            Some(several) => Err(SandboxError::Threads(several)),
        }
    }

    /// As [`Plan::apply`], for the calling thread alone where it comes to files: tests have others.
    pub(crate) fn confine(self) -> Result<Confinement, SandboxError> {
        let mut places = Vec::new();
        let mut absent = Vec::new();
        for place in &self.places {
            match Opened::open(place) {
                Ok(opened) => places.push(opened),
                Err(error) if !place.needed && error.kind() == io::ErrorKind::NotFound => {
                    absent.push(place.path.clone());
                }
                Err(source) => {
                    let path = place.path.clone();
                    return Err(SandboxError::Place { path, source });
                }
            }
        }
        let landlock = landlock::restrict(&places, self.connects_tcp, self.binds_tcp)?;
        let seccomp = seccomp::restrict(self.unix_sockets)?;
        Ok(Confinement {
            layers: Layers { landlock, seccomp },
            absent,
            _places: places.into_iter().map(|place| place.fd).collect(),
        })
    }
}

/// What is in force. Keep it for as long as the process runs: what a plan keeps of `/proc` is only
/// remembered by the kernel while it is open.
#[derive(Debug)]
#[must_use = "dropping it may lose places in /proc"]
pub struct Confinement {
    layers: Layers,
    absent: Vec<PathBuf>,
    _places: Vec<OwnedFd>,
}

impl Confinement {
    /// What is in force, and what is missing.
    #[must_use]
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// The places of the plan that were not there, and stay out of reach if they are made.
    pub fn absent(&self) -> impl Iterator<Item = &Path> {
        self.absent.iter().map(PathBuf::as_path)
    }
}

/// The two halves of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Files, TCP, signals.
    pub landlock: Landlock,
    /// System calls.
    pub seccomp: Seccomp,
}

impl Layers {
    /// What this kernel offers; nothing is given up.
    #[must_use]
    pub fn offered() -> Self {
        Self {
            landlock: landlock::offered(),
            seccomp: seccomp::offered(),
        }
    }

    /// What a newer or differently built kernel would add, each a sentence without its end; empty
    /// where everything holds.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match self.landlock {
            Landlock::Abi(abi) => missing.extend(
                landlock::LATER
                    .iter()
                    .filter(|(since, _, _)| abi < *since)
                    .map(|(_, linux, what)| format!("{what} (Linux {linux})")),
            ),
            Landlock::Missing(why) => {
                missing.push(format!("files and ports are not confined: {why}"));
            }
        }
        if let Seccomp::Missing(why) = self.seccomp {
            missing.push(format!("system calls are not filtered: {why}"));
        }
        missing
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Landlock::Abi(abi) => write!(f, "Landlock (ABI {abi})")?,
            Landlock::Missing(_) => f.write_str("no Landlock")?,
        }
        match self.seccomp {
            Seccomp::Filter => f.write_str(", seccomp"),
            Seccomp::Missing(_) => f.write_str(", no seccomp"),
        }
    }
}

/// The system calls that are denied, as a Markdown table, for the documentation.
#[must_use]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub fn table() -> String {
    table::markdown()
}

/// How many threads this process has; `None` without /proc.
fn threads() -> Option<usize> {
    std::fs::read_dir(THREADS).ok().map(Iterator::count)
}
