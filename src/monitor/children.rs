//! The processes that the monitor starts, kills, checks and replaces itself with: the effects of
//! the event loop on the operating system.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::child::{ChildContext, ChildProcess, ChildRole};
use super::event::MonitorEvent;
use super::handover;
use super::listeners::Listeners;
use super::processes::{AUTH, ProcessKind, WEB, WORKER};
use super::program::{ChildArgs, Program};
use super::systemd;
use crate::ipc::{MessageSocket, MonitorMessage, PublicCaKeys, VERSION, encode};
use crate::sys::fs::FileLock;

/// The effects of the event loop on processes.
pub(super) trait Processes {
    /// Starts an auth process.
    ///
    /// # Errors
    /// When no process can be created.
    fn start_auth(&self, restarts: u64) -> io::Result<ChildProcess>;

    /// Starts a worker with these listeners, which trusts these CAs.
    ///
    /// # Errors
    /// When no process can be created.
    fn start_worker(&self, listeners: &Listeners, keys: PublicCaKeys) -> io::Result<ChildProcess>;

    /// Starts a web process; `None` if there is no listener for one.
    ///
    /// # Errors
    /// When no process can be created.
    fn start_web(&self, listeners: &Listeners) -> io::Result<Option<ChildProcess>>;

    /// Kills a process (SIGKILL).
    fn kill(&self, pid: Pid);

    /// Starts to check whether the program that is now installed in this one's place would run. The
    /// result arrives as [`MonitorEvent::Checked`].
    ///
    /// # Errors
    /// When no thread can be created.
    fn check(&self) -> io::Result<()>;

    /// Replaces this process with the program that is now installed, and hands everything over to it.
    /// Returns only if that fails.
    fn replace<'w>(
        &self,
        listeners: &Listeners,
        workers: impl Iterator<Item = &'w ChildProcess>,
    ) -> io::Error;

    /// The path of the program.
    fn program(&self) -> &Path;
}

/// The processes of the running system.
#[derive(Debug)]
pub(super) struct Children {
    program: Program,
    args: ChildArgs,
    context: ChildContext,
    /// Prevents other proxies from serving the data directory.
    lock: FileLock,
}

impl Children {
    pub(super) fn new(
        program: Program,
        args: ChildArgs,
        context: ChildContext,
        lock: FileLock,
    ) -> Self {
        Self {
            program,
            args,
            context,
            lock,
        }
    }
}

impl Children {
    /// Starts a process of this kind. `start` is its first message, to which `files` are attached.
    fn start(
        &self,
        kind: &'static ProcessKind,
        start: &MonitorMessage,
        files: &[BorrowedFd<'_>],
    ) -> io::Result<ChildProcess> {
        let (ours, theirs) = MessageSocket::pair()?;
        ours.send(&encode(start)?, files)?;
        let mut command = self.program.same();
        for variable in systemd::VARIABLES {
            command.env_remove(variable);
        }
        let args = self.args.of(kind);
        let child = command.args(args).stdin(theirs).spawn()?;
        // The monitor waits for its exit by process id, because after an upgrade the monitor is not
        // the program that started it.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
        let role = ChildRole::Starting(Instant::now());
        ChildProcess::new(kind, pid, ours, role, VERSION).listen(&self.context)
    }
}

impl Processes for Children {
    fn start_auth(&self, restarts: u64) -> io::Result<ChildProcess> {
        let start = MonitorMessage::StartAuth {
            version: VERSION,
            restarts,
        };
        self.start(&AUTH, &start, &[])
    }

    fn start_worker(&self, listeners: &Listeners, keys: PublicCaKeys) -> io::Result<ChildProcess> {
        let (kinds, files) = listeners.of(&WORKER);
        let start = MonitorMessage::Start {
            version: VERSION,
            listeners: kinds,
            keys,
            others: listeners.without(&WORKER),
        };
        self.start(&WORKER, &start, &files)
    }

    fn start_web(&self, listeners: &Listeners) -> io::Result<Option<ChildProcess>> {
        let (_, files) = listeners.of(&WEB);
        if files.is_empty() {
            return Ok(None);
        }
        let start = MonitorMessage::StartWeb { version: VERSION };
        self.start(&WEB, &start, &files).map(Some)
    }

    fn kill(&self, pid: Pid) {
        if let Err(error) = kill_process(pid, Signal::KILL) {
            tracing::debug!(%error, "a process was gone already");
        }
    }

    fn check(&self) -> io::Result<()> {
        let (program, args) = (self.program.clone(), self.args.clone());
        let events = self.context.events.clone();
        let check = move || {
            let checked = program.check(&args);
            // Without a receiver, the event loop has ended.
            drop(events.blocking_send(MonitorEvent::Checked(checked)));
        };
        std::thread::Builder::new().spawn(check).map(drop)
    }

    fn replace<'w>(
        &self,
        listeners: &Listeners,
        workers: impl Iterator<Item = &'w ChildProcess>,
    ) -> io::Error {
        // The next program counts anew.
        self.context.refused.tell_sums(true);
        handover::exec(&self.program, listeners, workers, &self.lock)
    }

    fn program(&self) -> &Path {
        self.program.path()
    }
}
