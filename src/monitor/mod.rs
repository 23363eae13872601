//! The monitor: the process that is started first and stays. It holds the listeners, starts the processes
//! that talk to the network and the one that has the CAs' keys, and passes calls between them.
//!
//! It exists so that a mistake in code that reads hostile input does little harm, as in sshd's
//! privilege separation: the monitor never reads a byte from a client or a host (`tests/tidy`
//! forbids it the rooms that do). It receives the signals, talks to the service manager, and
//! replaces itself with the new program at an upgrade. The new program starts a worker of its own,
//! while the old worker serves until its last session ends.
//!
//! - `ground`: the preconditions of the start
//! - `listeners`: the listeners
//! - `link`: the other end of its socket, for the processes that it starts
//! - `lock`: only one proxy serves a data directory
//! - `processes`, `confinement`: the kinds of processes, and what each may do
//! - `services`, `call_rate`: the calls of a process, and which of them are refused
//! - `file_service`, `auth_gate`: the calls that are answered here, and those that are passed on
//! - `version_1`: the same for workers of an earlier version
//! - `restarts`: when a process that has exited is started again
//! - `child`, `children`: one process, and the operations on all of them
//! - `event`, `signals`, `event_loop`: events, handled one after the other
//! - `program`, `handover`: how the monitor replaces itself at an upgrade
//! - `systemd`: the service manager

mod auth_gate;
mod call_rate;
mod child;
mod children;
mod confinement;
mod error;
mod event;
mod event_loop;
mod file_service;
mod ground;
mod handover;
mod link;
mod listeners;
mod lock;
mod processes;
mod program;
mod restarts;
mod services;
mod signals;
mod systemd;
#[cfg(test)]
mod testing;
mod version_1;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use auth_gate::AuthGate;
use child::ChildContext;
use children::Children;
use event_loop::Monitor;
use ground::Purpose;
use handover::Handover;
use listeners::Listeners;
use program::Program;
use signals::Signals;

use crate::audit::{DeferredLog, RefusedCalls};
use crate::config::{Config, Source};
use crate::sys::clock::Clock;

pub use confinement::{
    kept_by_auth_markdown, kept_by_web_markdown, kept_by_worker_markdown, prepare,
};
pub use error::MonitorError;
pub use event::Exited;
pub use file_service::files_markdown;
pub use ground::is_running;
pub use link::MonitorLink;
pub use processes::{
    AUTH, KINDS, ProcessKind, RestartRule, UpgradeRule, WEB, WITHOUT_SANDBOX, WORKER,
    processes_markdown, services_markdown,
};
pub use program::ChildArgs;

/// How many events may wait for the event loop.
const QUEUE: usize = 64;
/// How often it is looked whether there are sums of refused calls to write down.
const LOOK_FOR_SUMS: Duration = Duration::from_secs(10);

/// Runs the proxy until it is ordered to stop by SIGTERM or SIGINT, and its connections are closed or
/// have timed out. At SIGHUP the configuration is reloaded, at SIGUSR2 the program is upgraded.
///
/// # Errors
/// When the proxy cannot start, or its worker exits without an order.
pub fn serve(config: &Config, source: &Source, args: ChildArgs) -> Result<(), MonitorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MonitorError::Start)?;
    runtime.block_on(async {
        // This comes first: without a handler, a signal ends the process.
        let signals = Signals::new().map_err(MonitorError::Start)?;
        let (sender, events) = mpsc::channel(QUEUE);
        let handover = Handover::receive()?;
        let (data_dir, cluster) = (&config.data_dir, &config.cluster_name);
        let log = DeferredLog::new(data_dir, cluster, Clock::System);
        let refused = RefusedCalls::new(Arc::new(log));
        let context = ChildContext {
            events: sender,
            gate: AuthGate::default(),
            refused: refused.clone(),
            config: Arc::new((config.clone(), source.clone())),
        };
        let (program, children, lock, listeners) = match handover {
            None => {
                let given = listeners::given().map_err(MonitorError::Given)?;
                let Some(ground) = ground::lay(config, Purpose::Serve(given)).await? else {
                    return Err(MonitorError::Start(io::ErrorKind::Other.into()));
                };
                let program = Program::of_this_process();
                (program, Vec::new(), ground.lock, ground.listeners)
            }
            // Workers keep their connections: a precondition that no longer holds is logged, and is
            // no reason to exit.
            Some(mut before) => {
                let lock = match before.lock.take() {
                    Some(lock) => lock,
                    None => lock::take(&config.data_dir)?,
                };
                let held = std::mem::take(&mut before.listeners);
                let program = before.program.clone();
                let children = before.listen(&context)?;
                let listeners = Listeners::open(config, held).await?;
                (program, children, lock, listeners)
            }
        };
        let gate = context.gate.clone();
        let processes = Children::new(program, args, context, lock);
        let mut monitor = Monitor::new(config, processes, listeners, gate, children);
        monitor.begin()?;
        tokio::spawn(tell_sums(refused.clone()));
        let ended = monitor.run(signals, events).await;
        refused.tell_sums(true);
        ended
    })
}

/// Writes down regularly how many calls were refused.
async fn tell_sums(refused: RefusedCalls) {
    let mut time = tokio::time::interval(LOOK_FOR_SUMS);
    loop {
        time.tick().await;
        refused.tell_sums(false);
    }
}

/// Checks whether [`serve`] could start, as far as that is possible without creating or changing anything.
/// Whether the sockets of a service manager are usable, for example, only its child can find out. If a
/// proxy runs on the data directory, the ports are its own, and agents that hold the CA keys are not asked
/// for a signature.
///
/// # Errors
/// What [`serve`] would fail with.
pub fn rehearse(config: &Config) -> Result<(), MonitorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MonitorError::Start)?;
    runtime
        .block_on(ground::lay(config, Purpose::Look))
        .map(drop)
}
