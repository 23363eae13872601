//! An upgrade: this process becomes the program that is in its place now, and goes on where it was.
//!
//! The ports and the ways to the workers are sent to a socket that nobody reads yet, and whose other
//! end is the standard input of the program that comes next; the lock of the data directory follows.
//! Everything else of this process ends with
//! the `exec`; its children stay its children.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::MonitorError;
use super::listeners::{Listener, ListenerRecord, Listeners};
use super::message::{self, VERSION};
use super::program::Program;
use super::supervisor;
use super::worker::{WorkerContext, WorkerProcess, WorkerRole};
use crate::sys::fs::FileLock;
use crate::sys::log;
use crate::sys::post::{MOST_FILES, Post};

/// Set for a program that takes over.
pub(super) const VARIABLE: &str = "RPROXY_HANDOVER";

/// What the message with the lock says.
const LOCK: &[u8] = b"lock";

/// What is handed over; the files of the listeners, then those of the workers, come along.
#[derive(Debug, Serialize, Deserialize)]
struct HandoverState {
    version: u32,
    program: PathBuf,
    listeners: Vec<ListenerRecord>,
    workers: Vec<HandedWorker>,
}

/// A worker, as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
struct HandedWorker {
    pid: i32,
    is_serving: bool,
}

/// What this process was before.
#[derive(Debug)]
pub(super) struct Handover {
    /// The lock of the data directory; earlier versions have none.
    pub(super) lock: Option<FileLock>,
    pub(super) program: Program,
    pub(super) listeners: Vec<Listener>,
    workers: Vec<(Pid, WorkerRole, Post)>,
}

impl Handover {
    /// What an earlier version of this process has left, if there was one.
    ///
    /// # Errors
    /// When it has left something else than what it says.
    pub(super) fn receive() -> Result<Option<Self>, MonitorError> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let post = Post::of_stdin().map_err(MonitorError::Handover)?;
        let parcel = post.receive().map_err(MonitorError::Handover)?;
        let parcel = parcel.ok_or_else(unusable)?;
        // It comes by itself: a version that does not know of it leaves it where it is.
        let lock = post.receive().map_err(MonitorError::Handover)?;
        let lock = lock.and_then(|parcel| parcel.files.into_iter().next());
        let state: HandoverState = message::decode(&parcel.message)
            .map_err(|error| MonitorError::Handover(error.into()))?;
        let mut files = parcel.files.into_iter();
        if state.version != VERSION || files.len() != state.listeners.len() + state.workers.len() {
            return Err(unusable());
        }
        let listeners = state.listeners.into_iter().zip(&mut files);
        let listeners = listeners.map(|(is, file)| Listener {
            is,
            socket: file.into(),
        });
        let listeners = listeners.collect();
        let workers = state.workers.into_iter().zip(files);
        let workers = workers.map(|(known, file)| {
            let pid = Pid::from_raw(known.pid).ok_or_else(unusable)?;
            let role = if known.is_serving {
                WorkerRole::Serving
            } else {
                WorkerRole::Retired
            };
            Ok((pid, role, Post::of(file)))
        });
        Ok(Some(Self {
            lock: lock.map(FileLock::handed_over),
            program: Program::at(state.program),
            listeners,
            workers: workers.collect::<Result<_, MonitorError>>()?,
        }))
    }

    /// The workers.
    ///
    /// # Errors
    /// When there are no threads to listen to them.
    pub(super) fn workers(self, ears: &WorkerContext) -> Result<Vec<WorkerProcess>, MonitorError> {
        let workers = self.workers.into_iter();
        workers
            .map(|(pid, role, post)| {
                WorkerProcess::new(pid, post, role, ears.clone()).map_err(MonitorError::Start)
            })
            .collect()
    }
}

fn unusable() -> MonitorError {
    MonitorError::Handover(io::ErrorKind::InvalidData.into())
}

/// Becomes the program that is in this one's place now. Returns only where that does not work.
pub(super) fn exec<'w>(
    program: &Program,
    listeners: &Listeners,
    workers: impl Iterator<Item = &'w WorkerProcess>,
    lock: &FileLock,
) -> io::Error {
    match try_exec(program, listeners, workers, lock) {
        Err(error) => error,
    }
}

fn try_exec<'w>(
    program: &Program,
    listeners: &Listeners,
    workers: impl Iterator<Item = &'w WorkerProcess>,
    lock: &FileLock,
) -> io::Result<std::convert::Infallible> {
    let mut files = listeners.files();
    let mut known = Vec::new();
    for worker in workers {
        files.push(worker.post.as_fd());
        known.push(HandedWorker {
            pid: worker.pid.as_raw_nonzero().get(),
            is_serving: worker.role != WorkerRole::Retired,
        });
    }
    // It may have changed since it was asked.
    program.check_place().map_err(io::Error::other)?;
    if files.len() > MOST_FILES {
        return Err(io::Error::other("too many workers are left from upgrades"));
    }
    let state = HandoverState {
        version: VERSION,
        program: program.path().to_owned(),
        listeners: listeners.held(),
        workers: known,
    };
    let (ours, theirs) = Post::pair()?;
    ours.send(&message::encode(&state)?, &files)?;
    ours.send(LOCK, &[lock.as_fd()])?;
    let mut next = program.newest();
    next.args(std::env::args_os().skip(1))
        .env(VARIABLE, "1")
        .stdin(theirs);
    // They come as all ports do; the numbers of their files mean something else by then.
    for variable in supervisor::SOCKETS {
        next.env_remove(variable);
    }
    // The thread that writes it ends with this program.
    log::flush();
    Err(next.exec())
}
