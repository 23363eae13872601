//! The monitor's reactions to signals, to messages and exits of processes, and to timeouts.
//!
//! Events are handled one after the other on one thread, which never waits for a process. The auth
//! process is started first, then the web process, if there is a listener for one, and the worker once the
//! auth process has sent the CAs' keys. The first two are started again whenever they exit, as long as
//! there are workers.

mod web;

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::auth_gate::AuthGate;
use super::child::{ChildProcess, ChildRole};
use super::children::Processes;
use super::error::MonitorError;
use super::event::{Exited, MonitorEvent};
use super::listeners::Listeners;
use super::processes::RestartRule;
use super::restarts::Restarts;
use super::signals::{Command, Commands};
use super::systemd;
use crate::audit::{AuditEvent, AuditSink as _, DeferredLog};
use crate::config::Config;
use crate::ipc::{MonitorMessage, ProcessMessage, PublicCaKeys};
use crate::sys::clock::Clock;

/// How long a process may take to start at an upgrade, or an auth process to finish its calls, before it
/// is killed.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often time limits are checked.
const TICK: Duration = Duration::from_millis(500);

/// The phase of the proxy between its start and its exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MonitorPhase {
    Running,
    /// The program of an upgrade is being checked.
    Checking,
    /// The proxy is stopping: until when, and when the service manager was informed last.
    Stopping(Instant, Instant),
}

/// The process whose start this program waits for before it starts the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The auth process; then the web process is started.
    Auth,
    /// The web process; then the worker is started.
    Web,
    Nothing,
}

/// The processes, and the proxy's phase.
#[derive(Debug)]
pub(super) struct Monitor<P> {
    processes: P,
    listeners: Listeners,
    children: BTreeMap<i32, ChildProcess>,
    /// The way to the auth process that answers calls.
    gate: AuthGate,
    /// The CAs' public keys, once the auth process has sent them.
    keys: Option<PublicCaKeys>,
    awaited: Awaited,
    /// The auth process's.
    restarts: Restarts,
    web_restarts: Restarts,
    /// When the processes were told to exit that serve others, or the web.
    others_ended: Option<Instant>,
    phase: MonitorPhase,
    /// The error to exit with; `None` if the stop was requested.
    failed: Option<MonitorError>,
    /// How long connections may continue when the proxy stops. A worker reports the value in force
    /// when it begins to drain.
    drain_timeout: Duration,
    audit: DeferredLog,
}

fn every(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

impl<P: Processes> Monitor<P> {
    /// `children` are the processes of an earlier program, and `gate` is the way that their calls take.
    pub(super) fn new(
        config: &Config,
        processes: P,
        listeners: Listeners,
        gate: AuthGate,
        children: Vec<ChildProcess>,
    ) -> Self {
        for auth in children.iter().filter(|one| one.is_auth()) {
            if auth.role == ChildRole::Serving {
                gate.open(&auth.socket);
            }
        }
        let children = children.into_iter();
        Self {
            processes,
            listeners,
            children: children.map(|one| (number(one.pid), one)).collect(),
            gate,
            keys: None,
            awaited: Awaited::Nothing,
            restarts: Restarts::default(),
            web_restarts: Restarts::default(),
            others_ended: None,
            phase: MonitorPhase::Running,
            failed: None,
            drain_timeout: config.proxy.drain_timeout,
            audit: DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System),
        }
    }

    /// Starts this program's processes, for the first time or in addition to those of an earlier version:
    /// the auth process, and the others when that is ready.
    ///
    /// # Errors
    /// When there is no process after that.
    pub(super) fn begin(&mut self) -> Result<(), MonitorError> {
        self.awaited = Awaited::Auth;
        match self.start_auth() {
            Err(error) if self.children.is_empty() => Err(MonitorError::Start(error)),
            Err(error) => {
                self.give_up_upgrade(format!("no auth process can be started: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Handles events until the last process has exited.
    ///
    /// # Errors
    /// Why the proxy has stopped, unless that was requested.
    pub(super) async fn run(
        mut self,
        mut commands: impl Commands,
        mut events: mpsc::Receiver<MonitorEvent>,
    ) -> Result<(), MonitorError> {
        let mut ticks = every(TICK);
        let mut pings = systemd::watchdog().map(every);
        while !self.children.is_empty() {
            tokio::select! {
                command = commands.next() => self.on_command(command),
                Some(event) = events.recv() => self.on_event(event),
                _ = ticks.tick() => self.on_tick(),
                () = next(&mut pings) => self.ping(),
            }
        }
        match self.failed {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn start_auth(&mut self) -> std::io::Result<()> {
        self.restarts.started();
        let auth = self.processes.start_auth(self.restarts.count())?;
        self.children.insert(number(auth.pid), auth);
        Ok(())
    }

    fn start_worker(&mut self, keys: PublicCaKeys) {
        match self.processes.start_worker(&self.listeners, keys) {
            Ok(worker) => {
                self.children.insert(number(worker.pid), worker);
            }
            Err(error) if self.has_workers() => {
                self.refuse(format!("no worker can be started: {error}"));
            }
            Err(error) => self.fail(MonitorError::Start(error)),
        }
    }

    fn workers(&self) -> impl Iterator<Item = &ChildProcess> {
        self.children.values().filter(|one| one.is_worker())
    }

    fn has_workers(&self) -> bool {
        self.workers().next().is_some()
    }

    fn auths(&self) -> impl Iterator<Item = &ChildProcess> {
        self.children.values().filter(|one| one.is_auth())
    }

    fn is_stopping(&self) -> bool {
        matches!(self.phase, MonitorPhase::Stopping(..))
    }

    fn send_workers(&self, message: &MonitorMessage) {
        self.workers().for_each(|worker| worker.send(message));
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Reload => {
                systemd::reloading();
                let children = self.children.values();
                children.for_each(|one| one.send(&MonitorMessage::Reload));
            }
            Command::Stop => self.stop(),
            Command::Upgrade => self.begin_upgrade(),
        }
    }

    /// The first stop request drains the connections; the second one closes them.
    fn stop(&mut self) {
        if self.is_stopping() {
            return self.send_workers(&MonitorMessage::End);
        }
        self.drain(Instant::now() + self.drain_timeout);
        self.send_workers(&MonitorMessage::Drain);
        self.end_others_after_workers();
    }

    /// Tells the web processes to exit once the last worker has, and then the auth processes: no process is
    /// left that could call them.
    fn end_others_after_workers(&mut self) {
        if !self.is_stopping() || self.has_workers() {
            return;
        }
        self.others_ended.get_or_insert_with(Instant::now);
        if self.webs().next().is_some() {
            return self.webs().for_each(|web| web.send(&MonitorMessage::End));
        }
        self.auths()
            .for_each(|auth| auth.send(&MonitorMessage::End));
    }

    /// A process that may have called the auth process has exited.
    fn forget(&self, process: &ChildProcess) {
        let caller = process.kind.caller(number(process.pid));
        self.gate.forget(&caller);
        let gone = MonitorMessage::Exited(caller);
        self.auths().for_each(|auth| auth.send(&gone));
    }

    /// The proxy stops by that time. The listeners are closed, so that clients are refused instead
    /// of waiting at a port without a worker.
    fn drain(&mut self, until: Instant) {
        self.listeners.close();
        let now = Instant::now();
        systemd::stopping(until.saturating_duration_since(now));
        self.phase = MonitorPhase::Stopping(until, now);
    }

    fn on_event(&mut self, event: MonitorEvent) {
        match event {
            MonitorEvent::Message(pid, message) => self.on_message(number(pid), message),
            MonitorEvent::Exited(pid, exited) => self.on_exit(number(pid), exited),
            MonitorEvent::Checked(checked) => self.on_checked(checked),
        }
    }

    fn on_message(&mut self, pid: i32, message: ProcessMessage) {
        let Some(process) = self.children.get_mut(&pid) else {
            return;
        };
        let (is_auth, is_worker) = (process.is_auth(), process.is_worker());
        match message {
            ProcessMessage::Ready if matches!(process.role, ChildRole::Starting(_)) => {
                process.role = ChildRole::Serving;
                match (is_auth, is_worker) {
                    (true, _) => self.auth_is_ready(pid),
                    (_, true) => self.take_over(pid),
                    _ => self.web_is_ready(pid),
                }
            }
            ProcessMessage::Ready => {}
            ProcessMessage::Keys(keys) => {
                let is_current = is_auth && process.role != ChildRole::Retired;
                if is_current && self.keys.as_ref() != Some(&keys) {
                    self.keys = Some(keys.clone());
                    self.send_workers(&MonitorMessage::Keys(keys));
                }
            }
            ProcessMessage::Reloaded if is_worker && process.role == ChildRole::Serving => {
                systemd::ready();
            }
            ProcessMessage::Reloaded => {}
            ProcessMessage::Draining { seconds } => {
                let until = Instant::now() + Duration::from_secs(seconds);
                if let MonitorPhase::Stopping(before, _) = self.phase
                    && is_worker
                {
                    self.drain(before.max(until));
                }
            }
            ProcessMessage::Alive => process.is_alive = true,
            // The thread that received the call handles it.
            ProcessMessage::Call(_) => {}
        }
    }

    /// An auth process answers calls from now on, so the others finish what they have.
    fn auth_is_ready(&mut self, pid: i32) {
        let is_stopping = self.is_stopping();
        for auth in self.children.values_mut().filter(|one| one.is_auth()) {
            if number(auth.pid) == pid {
                self.gate.open(&auth.socket);
            } else if auth.role == ChildRole::Serving {
                auth.role = ChildRole::Retired;
                auth.send(&MonitorMessage::Retire);
            }
        }
        if self.awaited == Awaited::Auth {
            self.awaited = Awaited::Nothing;
            if !is_stopping {
                self.start_web_first();
            }
        }
    }

    /// Starts the worker of this program.
    fn start_first_worker(&mut self) {
        match self.keys.clone() {
            Some(keys) => self.start_worker(keys),
            None => self.fail(MonitorError::Start(std::io::ErrorKind::InvalidData.into())),
        }
    }

    /// A worker accepts clients from now on, so the other workers stop accepting. Before they learn it,
    /// it is in the audit log.
    fn take_over(&mut self, pid: i32) {
        let others: Vec<i32> = self
            .children
            .values()
            .filter(|one| one.is_worker() && one.role == ChildRole::Serving)
            .map(|one| number(one.pid))
            .filter(|other| *other != pid)
            .collect();
        if !others.is_empty() {
            let version = env!("CARGO_PKG_VERSION");
            tracing::info!(version, worker = pid, "upgraded: another worker serves now");
            self.emit(&AuditEvent::ServerUpgraded {
                version,
                program: self.processes.program().display().to_string(),
            });
        }
        for other in others {
            if let Some(worker) = self.children.get_mut(&other) {
                worker.role = ChildRole::Retired;
                worker.send(&MonitorMessage::Retire);
            }
        }
        systemd::ready();
    }

    fn on_exit(&mut self, pid: i32, exited: Exited) {
        let Some(process) = self.children.remove(&pid) else {
            return;
        };
        match process.kind.restart {
            RestartRule::StopProxy => self.on_worker_exit(&process, exited),
            RestartRule::Restart if process.is_web() => self.on_web_exit(&process, exited),
            RestartRule::Restart => self.on_auth_exit(&process, exited),
        }
    }

    fn on_worker_exit(&mut self, process: &ChildProcess, exited: Exited) {
        let pid = number(process.pid);
        let is_good = exited == Exited::Code(0);
        let serves = |one: &ChildProcess| one.role == ChildRole::Serving;
        match process.role {
            ChildRole::Retired => {
                tracing::info!(
                    worker = pid,
                    "a worker from before an upgrade ended {exited}"
                );
            }
            _ if self.is_stopping() => {
                if !is_good && self.failed.is_none() {
                    self.failed = Some(MonitorError::WorkerEnded(exited));
                }
            }
            ChildRole::Starting(_) if self.workers().any(serves) => {
                self.refuse(format!("the new worker ended {exited}"));
            }
            ChildRole::Starting(_) => {
                self.fail(MonitorError::NotStarted(process.kind.name, exited));
            }
            ChildRole::Serving => self.fail(MonitorError::WorkerEnded(exited)),
        }
        self.forget(process);
        self.end_others_after_workers();
    }

    /// Sessions go on without an auth process, and calls wait for the next one.
    fn on_auth_exit(&mut self, auth: &ChildProcess, exited: Exited) {
        self.gate.close(&auth.socket);
        let has_begun =
            !matches!(auth.role, ChildRole::Starting(_)) || self.awaited != Awaited::Auth;
        match auth.role {
            ChildRole::Retired => {
                tracing::info!("the auth process from before an upgrade ended {exited}");
            }
            _ if !self.has_workers() && self.is_stopping() => {}
            _ if !self.has_workers() && !has_begun => {
                self.fail(MonitorError::NotStarted(auth.kind.name, exited));
            }
            _ if !has_begun => {
                self.give_up_upgrade(format!("the new auth process ended {exited}"));
            }
            _ => {
                tracing::error!("the auth process ended {exited}, another one is started");
                self.start_auth_again();
            }
        }
    }

    /// This program starts no worker. Its auth process is needed if the one before it does not answer.
    fn give_up_upgrade(&mut self, message: String) {
        self.awaited = Awaited::Nothing;
        self.refuse(message);
        if !self.auths().any(|auth| auth.role == ChildRole::Serving) {
            self.start_auth_again();
        }
    }

    /// Starts an auth process, at once or later if the last ones have not lived for long.
    fn start_auth_again(&mut self) {
        self.restarts.exited();
        if self.restarts.is_due() {
            self.attempt_auth();
        }
    }

    fn attempt_auth(&mut self) {
        if let Err(error) = self.start_auth() {
            tracing::error!(%error, "no auth process can be started");
            self.restarts.exited();
        }
    }

    /// No worker accepts connections any more: stop. Workers with connections close them.
    fn fail(&mut self, error: MonitorError) {
        self.failed.get_or_insert(error);
        self.drain(Instant::now());
        self.send_workers(&MonitorMessage::End);
        self.end_others_after_workers();
    }

    fn on_tick(&mut self) {
        self.gate.flush();
        if self.restarts.is_due() && (self.has_workers() || self.awaited == Awaited::Web) {
            self.attempt_auth();
        }
        if self.has_workers() {
            self.attempt_web();
        }
        let workers = self.workers().count();
        for process in self.children.values() {
            // The first one of all may take as long as it needs.
            let is_alone = match process.is_worker() {
                true => workers == 1,
                false => workers == 0,
            };
            let is_late = match process.role {
                ChildRole::Starting(since) => !is_alone && since.elapsed() > START_LIMIT,
                ChildRole::Serving | ChildRole::Retired => {
                    let ended = self.others_ended.filter(|_| !process.is_worker());
                    ended.is_some_and(|since| since.elapsed() > START_LIMIT)
                }
            };
            if is_late {
                self.processes.kill(process.pid);
            }
        }
        if let MonitorPhase::Stopping(until, told) = self.phase
            && told.elapsed() >= systemd::AGAIN
        {
            self.drain(until);
        }
    }

    /// Reports to the service manager that the proxy lives, if the worker has answered, and pings the
    /// worker again.
    fn ping(&mut self) {
        let workers = self.children.values_mut().filter(|one| one.is_worker());
        for worker in workers.filter(|one| one.role == ChildRole::Serving) {
            if std::mem::take(&mut worker.is_alive) {
                systemd::alive();
            }
            worker.send(&MonitorMessage::Ping);
        }
    }

    /// Starts to check the program that is now installed. On another thread, so that clients and
    /// signals need not wait.
    fn begin_upgrade(&mut self) {
        let is_starting = |one: &ChildProcess| matches!(one.role, ChildRole::Starting(_));
        if self.phase != MonitorPhase::Running || self.children.values().any(is_starting) {
            tracing::warn!("no upgrade now: the proxy starts, stops, or is being upgraded");
            return;
        }
        let program = self.processes.program().display();
        tracing::info!(%program, "looking at the program that is there now");
        match self.processes.check() {
            Ok(()) => self.phase = MonitorPhase::Checking,
            Err(error) => self.refuse(format!("there is no thread to be had: {error}")),
        }
    }

    fn on_checked(&mut self, checked: Result<(), String>) {
        if self.phase != MonitorPhase::Checking {
            return;
        }
        self.phase = MonitorPhase::Running;
        if let Err(reason) = checked {
            return self.refuse(reason);
        }
        tracing::info!("becoming the program that is there now");
        let error = self
            .processes
            .replace(&self.listeners, self.children.values());
        self.refuse(format!("it cannot be run: {error}"));
    }

    /// Logs that there is no upgrade. Nothing else has changed.
    fn refuse(&self, message: String) {
        tracing::error!("no upgrade, everything stays as it was: {message}");
        self.emit(&AuditEvent::UpgradeRefused { message });
    }

    fn emit(&self, event: &AuditEvent) {
        if let Err(error) = self.audit.emit(event) {
            tracing::error!(%error, "cannot write the audit log");
        }
    }
}

#[cfg(test)]
mod tests;
