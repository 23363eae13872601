//! Every child process of a test: none outlives it, none keeps it from ending.
//!
//! Children lead process groups of their own, so that what they start (an `ssh`'s ProxyCommand)
//! goes with them. Only groups that the test itself started are ever signalled.

use std::collections::BTreeMap;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal};

/// How long a test waits for an expected event.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a count must stay the same to be at rest.
const STILL: Duration = Duration::from_secs(1);

/// The children of one test and the time after which they are killed.
#[derive(Debug)]
pub(crate) struct Children {
    shared: Arc<Shared>,
    deadline: Instant,
    watchdog: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Watched {
    running: BTreeMap<u32, String>,
    over: bool,
    expired: bool,
}

impl Shared {
    /// The state, also after another thread has panicked: children must be killed all the more then.
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Children {
    /// Starts the clock.
    pub(crate) fn new(limit: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let deadline = Instant::now() + limit;
        let watched = Arc::clone(&shared);
        let watchdog = std::thread::spawn(move || watch(&watched, deadline));
        Self {
            shared,
            deadline,
            watchdog: Some(watchdog),
        }
    }

    /// Starts a program that ends with the test at the latest.
    pub(crate) fn spawn(&self, command: &mut Command) -> Running {
        command.process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        self.adopt(child, format!("{command:?}"))
    }

    /// Takes charge of a child that leads a process group already.
    pub(crate) fn adopt(&self, child: Child, name: String) -> Running {
        self.shared.lock().running.insert(child.id(), name);
        Running {
            child,
            status: None,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Waits until something is there; `None` when patience or the test's time is at its end.
    pub(crate) fn eventually<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let until = self.deadline.min(Instant::now() + PATIENCE);
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a count that has begun to grow has been the same for a second, and gives it. On a busy
    /// machine it may pause for as long before it grows on: what a test makes of it must be true then too.
    pub(crate) fn at_rest(&self, count: impl Fn() -> u64) -> Option<u64> {
        let mut last = (0, Instant::now());
        self.eventually(|| {
            let now = count();
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() >= STILL).then_some(now)
        })
    }

    /// Whether the test ran out of time.
    pub(crate) fn expired(&self) -> bool {
        self.shared.lock().expired
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.join().unwrap_or_default();
        }
    }
}

/// Kills the remaining children when the time limit has passed: a test that waits for a child goes
/// on, and fails.
fn watch(shared: &Shared, deadline: Instant) {
    let mut state = shared.lock();
    while !state.over {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            state.expired = true;
            for (pid, name) in &state.running {
                eprintln!("out of time, killing {pid}: {name}");
                signal_group(*pid, Signal::KILL);
            }
            return;
        }
        state = shared
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Signals the process group of a child of ours; it may have exited already.
fn signal_group(leader: u32, signal: Signal) {
    let pid = i32::try_from(leader).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process_group(pid, signal).unwrap_or_default();
    }
}

/// A child process; dropped, it is killed and waited for.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    status: Option<ExitStatus>,
    shared: Arc<Shared>,
}

impl Running {
    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let status = self.child.wait().expect("the child is ours to wait for");
        self.shared.lock().running.remove(&self.child.id());
        self.status = Some(status);
        status
    }

    /// Kills it and all that it started, then waits for its end.
    pub(crate) fn kill(&mut self) {
        if self.status.is_none() {
            signal_group(self.child.id(), Signal::KILL);
            self.wait();
        }
    }

    /// Kills this process alone, as `kill -9 PID` does, then waits for its end.
    pub(crate) fn kill_alone(&mut self) {
        if self.status.is_none() {
            self.child.kill().expect("the child is ours to kill");
            self.wait();
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the child is ours");
            if self.status.is_some() {
                self.shared.lock().running.remove(&self.child.id());
            }
        }
        self.status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this account may read the memory and the open files of a process of the proxy: the
/// process cannot be dumped, so its own account may not.
pub(crate) fn may_look_into(pid: u32) -> bool {
    let may = std::fs::File::open(format!("/proc/{pid}/mem")).is_ok();
    if !may {
        super::skipped::cannot("only root can look into the processes of the proxy");
    }
    may
}
