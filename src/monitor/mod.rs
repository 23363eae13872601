//! The monitor: the process that is started first and stays. It holds the listeners and the CAs'
//! keys, and starts the processes that talk to the network.
//!
//! It exists so that a mistake in code that reads hostile input does little harm, as in sshd's
//! privilege separation: the monitor never reads a byte from a client or a host (`tests/tidy`
//! forbids it the rooms that do). It receives the signals, talks to the service manager, and
//! replaces itself with the new program at an upgrade. The new program starts a worker of its own,
//! while the old worker serves until its last session ends.
//!
//! - `ground`: the preconditions of the start
//! - `listeners`: the listeners
//! - `lock`: only one proxy serves a data directory
//! - `authorities`: the CAs
//! - `processes`, `confinement`: the kinds of processes, and what each may do
//! - `services`, `signing_service`, `file_service`: the calls that are answered here
//! - `version_1`: the same for workers of an earlier version
//! - `child`, `children`: one process, and the operations on all of them
//! - `event`, `signals`, `event_loop`: events, handled one after the other
//! - `program`, `handover`: how the monitor replaces itself at an upgrade
//! - `systemd`: the service manager

mod authorities;
mod child;
mod children;
mod confinement;
mod error;
mod event;
mod event_loop;
mod file_service;
mod ground;
mod handover;
mod listeners;
mod lock;
mod processes;
mod program;
mod services;
mod signals;
mod signing_service;
mod systemd;
#[cfg(test)]
mod testing;
mod version_1;

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use authorities::Current;
use child::ChildContext;
use children::Children;
use event_loop::Monitor;
use ground::Purpose;
use handover::Handover;
use listeners::Listeners;
use program::Program;
use signals::Signals;

use crate::config::{Config, Source};
use crate::model::chain;

pub use confinement::{kept_markdown, prepare};
pub use error::MonitorError;
pub use event::Exited;
pub use file_service::{allowed_files, files_markdown};
pub use processes::{
    KINDS, ProcessKind, RestartRule, UpgradeRule, WORKER, processes_markdown, services_markdown,
};
pub use program::ChildArgs;

/// How many events may wait for the event loop.
const QUEUE: usize = 64;

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
        let context = |authorities| ChildContext {
            events: sender,
            authorities,
            files: Arc::new(allowed_files(config, source)),
        };
        let (program, context, workers, lock, listeners) = match handover {
            None => {
                let given = listeners::given().map_err(MonitorError::Given)?;
                let Some(ground) = ground::lay(config, Purpose::Serve(given)).await? else {
                    return Err(MonitorError::Start(io::ErrorKind::Other.into()));
                };
                let context = context(Current::of(ground.authorities));
                let program = Program::of_this_process();
                (program, context, Vec::new(), ground.lock, ground.listeners)
            }
            // Workers keep their connections: a precondition that no longer holds is logged, and is
            // no reason to exit.
            Some(mut before) => {
                let lock = match before.lock.take() {
                    Some(lock) => lock,
                    None => lock::take(&config.data_dir)?,
                };
                let context = context(authorities_as_they_are(config));
                // The new worker logs the failure, and the earlier workers continue with the
                // revocations that they know.
                drop(authorities::rely_on_revocations(config));
                let held = std::mem::take(&mut before.listeners);
                let program = before.program.clone();
                let workers = before.workers(&context)?;
                let listeners = Listeners::open(config, held).await?;
                (program, context, workers, lock, listeners)
            }
        };
        follow(config, &context).map_err(MonitorError::Start)?;
        let children = Children::new(program, args, context, lock);
        let mut monitor = Monitor::new(config, children, listeners, workers);
        monitor.begin()?;
        monitor.run(signals, events).await
    })
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

/// The CAs after an upgrade, if they can be opened.
fn authorities_as_they_are(config: &Config) -> Current {
    match authorities::open(config) {
        Ok(authorities) => Current::of(authorities),
        Err(error) => {
            tracing::error!(error = %chain(&error), "cannot use the CAs");
            Current::default()
        }
    }
}

/// Follows the rotation of the CAs, on a thread that ends with this process.
fn follow(config: &Config, context: &ChildContext) -> io::Result<()> {
    let (config, context) = (config.clone(), context.clone());
    std::thread::Builder::new()
        .name("authorities".to_owned())
        .spawn(move || authorities::follow(&config, &context.authorities, &context.events))?;
    Ok(())
}
