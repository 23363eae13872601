//! One worker process, as the monitor knows it: what it is told, what it says, how it ends.
//!
//! A worker lives as long as its end of the post is open and the monitor is there: when the monitor is
//! gone, however it went, the worker reads the end of the stream and ends its connections.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use tokio::sync::mpsc;

use super::authorities::Current;
use super::lending::Lending;
use super::listeners::Listeners;
use super::message::{self, MonitorMessage, PublicCaKeys, VERSION, WorkerMessage};
use super::program::{ChildArgs, Program};
use super::signer::Signer;
use super::supervisor;
use crate::sys::lent::{Purpose, Shelf};
use crate::sys::post::{Parcel, Post};

/// What a worker is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerRole {
    /// It is about to accept clients; since when.
    Starting(Instant),
    /// It accepts clients.
    Serving,
    /// It has connections from before.
    Retired,
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Somebody else was told.
    Unknown,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "with exit code {code}"),
            Self::Signal(signal) => write!(f, "by signal {signal}"),
            Self::Unknown => f.write_str("in an unknown way"),
        }
    }
}

impl From<WaitStatus> for Ended {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (_, Some(signal)) => Self::Signal(signal),
            _ => Self::Unknown,
        }
    }
}

/// What happens to workers.
#[derive(Debug)]
pub(super) enum MonitorEvent {
    /// It has said something.
    Said(Pid, WorkerMessage),
    /// It has ended.
    Gone(Pid, Ended),
    /// The CAs' keys are others now.
    Keys(PublicCaKeys),
    /// Whether what is in the program's place would run.
    Checked(Result<(), String>),
}

/// Where what a worker says goes.
#[derive(Clone, Debug)]
pub(super) struct WorkerContext {
    pub(super) events: mpsc::Sender<MonitorEvent>,
    pub(super) authorities: Current,
    /// The files that are opened for it.
    pub(super) shelf: Arc<Shelf>,
}

/// A worker process.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    pub(super) pid: Pid,
    pub(super) post: Arc<Post>,
    pub(super) role: WorkerRole,
    /// Whether it has answered since it was last asked whether it lives.
    pub(super) is_alive: bool,
}

impl WorkerProcess {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no process to be had.
    pub(super) fn start(
        program: &Program,
        launch: &ChildArgs,
        listeners: &Listeners,
        ears: WorkerContext,
    ) -> io::Result<Self> {
        let keys = ears.authorities.keys();
        let keys = keys.ok_or_else(|| io::Error::other("the CAs cannot be opened"))?;
        let (ours, theirs) = Post::pair()?;
        let start = MonitorMessage::Start {
            version: VERSION,
            listeners: listeners.ports(),
            keys,
        };
        ours.send(&message::encode(&start)?, &listeners.files())?;
        let mut command = program.same();
        for variable in supervisor::VARIABLES {
            command.env_remove(variable);
        }
        let child = command.args(&launch.worker).stdin(theirs).spawn()?;
        // Its end is waited for by its process id, also by a monitor that has not started it.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
        Self::new(pid, ours, WorkerRole::Starting(Instant::now()), ears)
    }

    /// One that was started before, perhaps by an earlier version of this program.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn new(
        pid: Pid,
        post: Post,
        role: WorkerRole,
        ears: WorkerContext,
    ) -> io::Result<Self> {
        let post = Arc::new(post);
        let incoming = Arc::clone(&post);
        std::thread::Builder::new()
            .name(format!("of-{}", pid.as_raw_nonzero()))
            .spawn(move || listen(pid, &incoming, ears))?;
        Ok(Self {
            pid,
            post,
            role,
            is_alive: true,
        })
    }

    /// Tells it something. One that is told in vain is about to end, or hangs, which is noticed
    /// otherwise.
    pub(super) fn tell(&self, order: &MonitorMessage) {
        let sent = message::encode(order).map_err(io::Error::from);
        let sent = sent.and_then(|message| self.post.send(&message, &[]));
        if let Err(error) = sent {
            let pid = self.pid.as_raw_nonzero();
            tracing::debug!(%error, ?order, "worker {pid} cannot be told");
        }
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        if let Err(error) = kill_process(self.pid, Signal::KILL) {
            tracing::debug!(%error, "a worker was gone already");
        }
    }
}

/// Passes on what a worker says, and at last how it has ended.
fn listen(pid: Pid, post: &Post, ears: WorkerContext) {
    let WorkerContext {
        events,
        authorities,
        shelf,
    } = ears;
    let signer = Signer::new(authorities);
    let lending = Lending::new(shelf);
    while let Ok(Some(parcel)) = post.receive() {
        let Parcel { message, files } = parcel;
        match message::decode(&message) {
            Ok(WorkerMessage::Lend { path, to_append }) => {
                let purpose = if to_append {
                    Purpose::Append
                } else {
                    Purpose::Read
                };
                if let Some(answer) = files.into_iter().next() {
                    lending.lend(path.into(), purpose, answer);
                }
            }
            Ok(WorkerMessage::Sign) => files.into_iter().take(1).for_each(|one| signer.serve(one)),
            Ok(report) => {
                if events
                    .blocking_send(MonitorEvent::Said(pid, report))
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "a worker says what nobody understands"),
        }
    }
    let ended = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some((_, status))) => break Ended::from(status),
            Ok(None) | Err(_) => break Ended::Unknown,
        }
    };
    // Without a listener the monitor has ended.
    let _heard = events.blocking_send(MonitorEvent::Gone(pid, ended));
}
