//! The monitor: the process that is started and stays. It holds the ports and the CAs' keys, and
//! has workers do all that touches the network.
//!
//! As sshd's, it is there so that a mistake in reading what strangers send costs little: it never reads
//! a byte from a client or a host (`tests/tidy` keeps the rooms that do out of its reach). Signals
//! come to it, the service manager hears from it, and an upgrade is its affair: it becomes the new
//! program, which starts a worker of its own, while the old one serves until its last session ends.
//!
//! - `ground`: what has to hold before it starts
//! - `listeners`: the ports
//! - `lock`: that nobody else serves the same data directory
//! - `authorities`, `signer`: the CAs, and what is signed for workers
//! - `lending`: the files that are opened for them
//! - `worker`, `message`: a worker process, and what is said
//! - `watching`: what happens, one thing after the other
//! - `program`, `handover`: how it becomes another version of itself
//! - `supervisor`: the service manager

mod authorities;
mod ground;
mod handover;
mod lending;
mod listeners;
mod lock;
mod message;
mod program;
mod signer;
mod supervisor;
mod watching;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use authorities::Current;
use ground::Purpose;
use handover::Handover;
use listeners::Listeners;
use program::Program;
use watching::{Monitor, Signals};
use worker::WorkerContext;

use crate::ca::CaError;
use crate::config::{Config, Source};
use crate::model::chain;
use crate::model::text;
use crate::sys::fs::FsError;

pub use lending::shelf;
pub use message::{
    ListenerKind, MonitorMessage, PublicCaKeys, VERSION, WorkerMessage, decode, encode,
};
pub use program::ChildArgs;
pub use worker::Ended;

/// What may happen and wait until it is looked at.
const QUEUE: usize = 64;

/// Why the proxy does not run, or not any more.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// The CAs cannot be opened, or the host CA's key does not sign.
    #[error("cannot use the CAs")]
    Authorities(#[from] CaError),
    /// Another proxy serves the data directory.
    #[error("another rproxy serve runs on the data directory {}", text::path(.0))]
    Busy(PathBuf),
    /// The data directory cannot be used.
    #[error("cannot use the data directory")]
    DataDir(#[from] FsError),
    /// A port is taken, or may not be used.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The service manager gives what is no listener.
    #[error("cannot use the sockets that the service manager gives")]
    Given(#[source] io::Error),
    /// The operating system refuses a process, a thread, a runtime or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// What an earlier version has left is unusable.
    #[error("cannot take over from the program that ran here before")]
    Handover(#[source] io::Error),
    /// The worker has ended before it served anybody; it has said why.
    #[error("the worker ended {0} before it served anybody")]
    NotStarted(Ended),
    /// The worker has ended by itself.
    #[error("the worker ended {0}, and with it every connection that it had")]
    WorkerEnded(Ended),
}

impl MonitorError {
    /// What the administrator can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Authorities(error) => error.hint(),
            Self::Busy(_) => Some(
                "stop it first, or give this one a data directory of its own with --data-dir"
                    .to_owned(),
            ),
            Self::Listen(..) => Some(
                "`ss -ltnp` shows which program has the port; or configure another address"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Runs the proxy until it is told to stop by SIGTERM or SIGINT, and its connections are done or have
/// had their time. At SIGHUP the configuration is read again, at SIGUSR2 the program is.
///
/// # Errors
/// When it cannot start, or its worker ends by itself.
pub fn serve(config: &Config, source: &Source, launch: ChildArgs) -> Result<(), MonitorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MonitorError::Start)?;
    runtime.block_on(async {
        // First of all: without a handler a signal is the end.
        let signals = Signals::new().map_err(MonitorError::Start)?;
        let (sender, events) = mpsc::channel(QUEUE);
        let handover = Handover::receive()?;
        let ears = |authorities| WorkerContext {
            events: sender,
            authorities,
            shelf: Arc::new(shelf(config, source)),
        };
        let (program, ears, workers, lock, listeners) = match handover {
            None => {
                let given = listeners::given().map_err(MonitorError::Given)?;
                let Some(ground) = ground::lay(config, Purpose::Serve(given)).await? else {
                    return Err(MonitorError::Start(io::ErrorKind::Other.into()));
                };
                let ears = ears(Current::of(ground.authorities));
                let program = Program::of_this_process();
                (program, ears, Vec::new(), ground.lock, ground.listeners)
            }
            // Those who have connections keep them: what does not hold any more is told, and no reason
            // to end.
            Some(mut before) => {
                let lock = match before.lock.take() {
                    Some(lock) => lock,
                    None => lock::take(&config.data_dir)?,
                };
                let ears = ears(authorities_as_they_are(config));
                // The worker says so, and those of before go on with what they know.
                let _relied = authorities::rely_on_revocations(config);
                let held = std::mem::take(&mut before.listeners);
                let program = before.program.clone();
                let workers = before.workers(&ears)?;
                let listeners = Listeners::open(config, held).await?;
                (program, ears, workers, lock, listeners)
            }
        };
        follow(config, &ears).map_err(MonitorError::Start)?;
        let mut monitor = Monitor::new(config, launch, program, listeners, workers, ears, lock);
        monitor.begin()?;
        monitor.run(signals, events).await
    })
}

/// Looks whether [`serve`] could start, as far as that can be known without making or changing anything:
/// whether the sockets of a service manager are usable, for one, is known to its child alone. Where a
/// proxy runs on the data directory, its ports are its own, and agents that have the CA keys are asked for
/// no signature.
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
fn follow(config: &Config, ears: &WorkerContext) -> io::Result<()> {
    let (config, ears) = (config.clone(), ears.clone());
    std::thread::Builder::new()
        .name("authorities".to_owned())
        .spawn(move || authorities::follow(&config, &ears.authorities, &ears.events))?;
    Ok(())
}
