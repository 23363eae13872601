//! What the monitor does about what happens: signals, workers that speak and end, time that passes.
//!
//! One thing after the other, on one thread; nothing in here waits for a worker.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::MonitorError;
use super::handover;
use super::listeners::Listeners;
use super::message::{MonitorMessage, WorkerMessage};
use super::program::{ChildArgs, Program};
use super::supervisor;
use super::worker::{Ended, MonitorEvent, WorkerContext, WorkerProcess, WorkerRole};
use crate::audit::{AuditEvent, AuditLog};
use crate::config::Config;
use crate::model::{ClusterName, DataDir};
use crate::sys::clock::Clock;
use crate::sys::fs::FileLock;

/// How long a worker may take to begin where another one serves, before it is given up.
const LATE: Duration = Duration::from_secs(60);
/// How often limits of time are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The signals that the monitor is given.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Where the proxy is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyPhase {
    Running,
    /// An upgrade is being looked into.
    Checking,
    /// Told to stop; when that is over, and when the service manager was told.
    Stopping(Instant, Instant),
}

/// The workers, and what is to become of them.
#[derive(Debug)]
pub(super) struct Monitor {
    launch: ChildArgs,
    program: Program,
    listeners: Listeners,
    workers: BTreeMap<i32, WorkerProcess>,
    phase: ProxyPhase,
    /// Why it will have ended, where it is not because somebody said so.
    failed: Option<MonitorError>,
    ears: WorkerContext,
    /// What connections have when the proxy stops, until a worker says what they have now.
    drain_timeout: Duration,
    data_dir: DataDir,
    cluster: ClusterName,
    /// That nobody else serves the data directory.
    lock: FileLock,
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

impl Monitor {
    pub(super) fn new(
        config: &Config,
        launch: ChildArgs,
        program: Program,
        listeners: Listeners,
        workers: Vec<WorkerProcess>,
        ears: WorkerContext,
        lock: FileLock,
    ) -> Self {
        let workers = workers.into_iter();
        Self {
            launch,
            program,
            listeners,
            workers: workers.map(|one| (number(one.pid), one)).collect(),
            phase: ProxyPhase::Running,
            failed: None,
            ears,
            drain_timeout: config.proxy.drain_timeout,
            data_dir: config.data_dir.clone(),
            cluster: config.cluster_name.clone(),
            lock,
        }
    }

    /// Starts a worker, for the first time or beside one of an earlier version.
    ///
    /// # Errors
    /// When there is no worker then.
    pub(super) fn begin(&mut self) -> Result<(), MonitorError> {
        let (program, launch) = (&self.program, &self.launch);
        match WorkerProcess::start(program, launch, &self.listeners, self.ears.clone()) {
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

    /// Goes on until there is no worker any more.
    pub(super) async fn run(
        mut self,
        mut signals: Signals,
        mut events: mpsc::Receiver<MonitorEvent>,
    ) -> Result<(), MonitorError> {
        let mut looks = every(LOOK);
        let mut signs = supervisor::watchdog().map(every);
        while !self.workers.is_empty() {
            tokio::select! {
                _ = signals.hangup.recv() => self.reload(),
                _ = signals.terminate.recv() => self.stop(),
                _ = signals.interrupt.recv() => self.stop(),
                _ = signals.upgrade.recv() => self.look_at_upgrade(),
                Some(event) = events.recv() => self.on_event(event),
                _ = looks.tick() => self.on_time(),
                () = next(&mut signs) => self.give_sign(),
            }
        }
        match self.failed {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn tell_all(&self, order: &MonitorMessage) {
        for worker in self.workers.values() {
            worker.tell(order);
        }
    }

    fn reload(&self) {
        supervisor::reloading();
        self.tell_all(&MonitorMessage::Reload);
    }

    /// The first time: everybody may finish. The second time: nobody.
    fn stop(&mut self) {
        if let ProxyPhase::Stopping(..) = self.phase {
            return self.tell_all(&MonitorMessage::End);
        }
        self.drain(Instant::now() + self.drain_timeout);
        self.tell_all(&MonitorMessage::Drain);
    }

    /// The proxy stops, until then. Nobody is to find a port that nobody answers at.
    fn drain(&mut self, until: Instant) {
        self.listeners.close();
        let now = Instant::now();
        supervisor::stopping(until.saturating_duration_since(now));
        self.phase = ProxyPhase::Stopping(until, now);
    }

    fn on_event(&mut self, event: MonitorEvent) {
        match event {
            MonitorEvent::Said(pid, report) => self.on_report(number(pid), &report),
            MonitorEvent::Gone(pid, ended) => self.on_end(number(pid), ended),
            MonitorEvent::Keys(keys) => self.tell_all(&MonitorMessage::Keys(keys)),
            MonitorEvent::Checked(checked) => self.on_checked(checked),
        }
    }

    fn on_report(&mut self, pid: i32, report: &WorkerMessage) {
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        match report {
            WorkerMessage::Ready if matches!(worker.role, WorkerRole::Starting(_)) => {
                worker.role = WorkerRole::Serving;
                self.take_over(pid);
            }
            WorkerMessage::Ready => {}
            WorkerMessage::Reloaded if worker.role == WorkerRole::Serving => supervisor::ready(),
            WorkerMessage::Reloaded => {}
            WorkerMessage::Draining { seconds } => {
                let until = Instant::now() + Duration::from_secs(*seconds);
                if let ProxyPhase::Stopping(before, _) = self.phase {
                    self.drain(before.max(until));
                }
            }
            WorkerMessage::Alive => worker.is_alive = true,
            // Answered where it was read.
            WorkerMessage::Sign | WorkerMessage::Lend { .. } => {}
        }
    }

    /// A worker accepts clients: all others need not any more.
    fn take_over(&mut self, pid: i32) {
        let mut others = 0;
        for worker in self.workers.values_mut() {
            if number(worker.pid) != pid && worker.role == WorkerRole::Serving {
                worker.role = WorkerRole::Retired;
                worker.tell(&MonitorMessage::Retire);
                others += 1;
            }
        }
        if others > 0 {
            let version = env!("CARGO_PKG_VERSION");
            tracing::info!(version, worker = pid, "upgraded: another worker serves now");
            self.audit(&AuditEvent::ServerUpgraded {
                version,
                program: self.program.path().display().to_string(),
            });
        }
        supervisor::ready();
    }

    fn on_end(&mut self, pid: i32, ended: Ended) {
        let Some(worker) = self.workers.remove(&pid) else {
            return;
        };
        let is_good = ended == Ended::Code(0);
        let is_stopping = matches!(self.phase, ProxyPhase::Stopping(..));
        let serves = |one: &WorkerProcess| one.role == WorkerRole::Serving;
        match worker.role {
            WorkerRole::Retired => {
                tracing::info!(
                    worker = pid,
                    "a worker from before an upgrade ended {ended}"
                );
            }
            _ if is_stopping => {
                if !is_good && self.failed.is_none() {
                    self.failed = Some(MonitorError::WorkerEnded(ended));
                }
            }
            WorkerRole::Starting(_) if self.workers.values().any(serves) => {
                self.refuse(format!("the new worker ended {ended}"));
            }
            WorkerRole::Starting(_) => self.fail(MonitorError::NotStarted(ended)),
            WorkerRole::Serving => self.fail(MonitorError::WorkerEnded(ended)),
        }
    }

    /// There is nobody who serves, so there is no proxy. Those who have connections still end them.
    fn fail(&mut self, error: MonitorError) {
        self.failed.get_or_insert(error);
        self.drain(Instant::now());
        self.tell_all(&MonitorMessage::End);
    }

    fn on_time(&mut self) {
        let is_upgrade = self.workers.len() > 1;
        for worker in self.workers.values() {
            if let WorkerRole::Starting(since) = worker.role
                && is_upgrade
                && since.elapsed() > LATE
            {
                worker.kill();
            }
        }
        if let ProxyPhase::Stopping(until, told) = self.phase
            && told.elapsed() >= supervisor::AGAIN
        {
            self.drain(until);
        }
    }

    /// Tells the service manager that all is well, if the worker says so, and asks it again.
    fn give_sign(&mut self) {
        let serving = self.workers.values_mut();
        for worker in serving.filter(|one| one.role == WorkerRole::Serving) {
            if std::mem::take(&mut worker.is_alive) {
                supervisor::alive();
            }
            worker.tell(&MonitorMessage::Ping);
        }
    }

    /// Whether there is a program to become. On a thread: clients and signals do not wait for it.
    fn look_at_upgrade(&mut self) {
        let is_starting = |one: &WorkerProcess| matches!(one.role, WorkerRole::Starting(_));
        if self.phase != ProxyPhase::Running || self.workers.values().any(is_starting) {
            tracing::warn!("no upgrade now: the proxy starts, stops, or is being upgraded");
            return;
        }
        tracing::info!(program = %self.program.path().display(), "looking at the program that is there now");
        let (program, launch) = (self.program.clone(), self.launch.clone());
        let events = self.ears.events.clone();
        let check = move || {
            let checked = program.check(&launch);
            // Without a listener the monitor has ended.
            let _heard = events.blocking_send(MonitorEvent::Checked(checked));
        };
        match std::thread::Builder::new().spawn(check) {
            Ok(_) => self.phase = ProxyPhase::Checking,
            Err(error) => self.refuse(format!("there is no thread to be had: {error}")),
        }
    }

    fn on_checked(&mut self, checked: Result<(), String>) {
        if self.phase != ProxyPhase::Checking {
            return;
        }
        self.phase = ProxyPhase::Running;
        if let Err(reason) = checked {
            return self.refuse(reason);
        }
        tracing::info!("becoming the program that is there now");
        let (program, workers) = (&self.program, self.workers.values());
        let error = handover::exec(program, &self.listeners, workers, &self.lock);
        self.refuse(format!("it cannot be run: {error}"));
    }

    /// There is no upgrade, and nothing else has changed.
    fn refuse(&self, message: String) {
        tracing::error!("no upgrade, everything stays as it was: {message}");
        self.audit(&AuditEvent::UpgradeRefused { message });
    }

    fn audit(&self, event: &AuditEvent) {
        let log = AuditLog::open(&self.data_dir, self.cluster.clone(), Clock::System);
        if let Err(error) = log.and_then(|log| log.emit(event)) {
            tracing::error!(%error, "cannot write the audit log");
        }
    }
}
