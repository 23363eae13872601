//! The monitor's reactions to signals, to messages and exits of workers, and to timeouts.
//!
//! Events are handled one after the other on one thread, which never waits for a worker.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::child::{ChildProcess, ChildRole};
use super::children::Processes;
use super::error::MonitorError;
use super::event::{Exited, MonitorEvent};
use super::listeners::Listeners;
use super::processes::{RestartRule, UpgradeRule};
use super::signals::{Command, Commands};
use super::systemd;
use crate::audit::{AuditEvent, AuditSink as _, DeferredLog};
use crate::config::Config;
use crate::ipc::{MonitorMessage, ProcessMessage};
use crate::sys::clock::Clock;

/// How long a worker may take to start at an upgrade before it is killed.
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

/// The workers, and the proxy's phase.
#[derive(Debug)]
pub(super) struct Monitor<P> {
    processes: P,
    listeners: Listeners,
    workers: BTreeMap<i32, ChildProcess>,
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
    pub(super) fn new(
        config: &Config,
        processes: P,
        listeners: Listeners,
        workers: Vec<ChildProcess>,
    ) -> Self {
        let workers = workers.into_iter();
        Self {
            processes,
            listeners,
            workers: workers.map(|one| (number(one.pid), one)).collect(),
            phase: MonitorPhase::Running,
            failed: None,
            drain_timeout: config.proxy.drain_timeout,
            audit: DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System),
        }
    }

    /// Starts a worker, for the first time or in addition to those of an earlier version.
    ///
    /// # Errors
    /// When there is no worker after that.
    pub(super) fn begin(&mut self) -> Result<(), MonitorError> {
        match self.processes.start(&self.listeners) {
            Ok(worker) => {
                self.workers.insert(number(worker.pid), worker);
                Ok(())
            }
            Err(error) if self.workers.is_empty() => Err(MonitorError::Start(error)),
            Err(error) => {
                self.refuse(format!("no worker can be started: {error}"));
                Ok(())
            }
        }
    }

    /// Handles events until the last worker has exited.
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
        while !self.workers.is_empty() {
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

    fn send_all(&self, message: &MonitorMessage) {
        for worker in self.workers.values() {
            worker.send(message);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Reload => {
                systemd::reloading();
                self.send_all(&MonitorMessage::Reload);
            }
            Command::Stop => self.stop(),
            Command::Upgrade => self.begin_upgrade(),
        }
    }

    /// The first stop request drains the connections; the second one closes them.
    fn stop(&mut self) {
        if let MonitorPhase::Stopping(..) = self.phase {
            return self.send_all(&MonitorMessage::End);
        }
        self.drain(Instant::now() + self.drain_timeout);
        self.send_all(&MonitorMessage::Drain);
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
            MonitorEvent::Message(pid, message) => self.on_message(number(pid), &message),
            MonitorEvent::Exited(pid, exited) => self.on_exit(number(pid), exited),
            MonitorEvent::Keys(keys) => self.send_all(&MonitorMessage::Keys(keys)),
            MonitorEvent::Checked(checked) => self.on_checked(checked),
        }
    }

    fn on_message(&mut self, pid: i32, message: &ProcessMessage) {
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        match message {
            ProcessMessage::Ready if matches!(worker.role, ChildRole::Starting(_)) => {
                worker.role = ChildRole::Serving;
                self.take_over(pid);
            }
            ProcessMessage::Ready => {}
            ProcessMessage::Reloaded if worker.role == ChildRole::Serving => systemd::ready(),
            ProcessMessage::Reloaded => {}
            ProcessMessage::Draining { seconds } => {
                let until = Instant::now() + Duration::from_secs(*seconds);
                if let MonitorPhase::Stopping(before, _) = self.phase {
                    self.drain(before.max(until));
                }
            }
            ProcessMessage::Alive => worker.is_alive = true,
            // The thread that received the call answers it.
            ProcessMessage::Call(_) => {}
        }
    }

    /// A worker accepts clients from now on, so the other workers stop accepting.
    fn take_over(&mut self, pid: i32) {
        let mut others = 0;
        for worker in self.workers.values_mut() {
            if number(worker.pid) != pid && worker.role == ChildRole::Serving {
                match worker.kind.upgrade {
                    UpgradeRule::Retire => {
                        worker.role = ChildRole::Retired;
                        worker.send(&MonitorMessage::Retire);
                    }
                }
                others += 1;
            }
        }
        if others > 0 {
            let version = env!("CARGO_PKG_VERSION");
            tracing::info!(version, worker = pid, "upgraded: another worker serves now");
            self.emit(&AuditEvent::ServerUpgraded {
                version,
                program: self.processes.program().display().to_string(),
            });
        }
        systemd::ready();
    }

    fn on_exit(&mut self, pid: i32, exited: Exited) {
        let Some(worker) = self.workers.remove(&pid) else {
            return;
        };
        let is_good = exited == Exited::Code(0);
        let is_stopping = matches!(self.phase, MonitorPhase::Stopping(..));
        let serves = |one: &ChildProcess| one.role == ChildRole::Serving;
        match worker.role {
            ChildRole::Retired => {
                tracing::info!(
                    worker = pid,
                    "a worker from before an upgrade ended {exited}"
                );
            }
            _ if is_stopping => {
                if !is_good && self.failed.is_none() {
                    self.failed = Some(MonitorError::WorkerEnded(exited));
                }
            }
            ChildRole::Starting(_) if self.workers.values().any(serves) => {
                self.refuse(format!("the new worker ended {exited}"));
            }
            ChildRole::Starting(_) => self.fail(MonitorError::NotStarted(exited)),
            ChildRole::Serving => match worker.kind.restart {
                RestartRule::StopProxy => self.fail(MonitorError::WorkerEnded(exited)),
            },
        }
    }

    /// No worker accepts connections any more: stop. Workers with connections close them.
    fn fail(&mut self, error: MonitorError) {
        self.failed.get_or_insert(error);
        self.drain(Instant::now());
        self.send_all(&MonitorMessage::End);
    }

    fn on_tick(&mut self) {
        let is_upgrade = self.workers.len() > 1;
        for worker in self.workers.values() {
            if let ChildRole::Starting(since) = worker.role
                && is_upgrade
                && since.elapsed() > START_LIMIT
            {
                self.processes.kill(worker.pid);
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
        let serving = self.workers.values_mut();
        for worker in serving.filter(|one| one.role == ChildRole::Serving) {
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
        if self.phase != MonitorPhase::Running || self.workers.values().any(is_starting) {
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
            .replace(&self.listeners, self.workers.values());
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
