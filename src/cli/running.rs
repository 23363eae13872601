//! `rproxy reload`, `rproxy upgrade`, `rproxy stop`: send signals, without the need to look up a
//! process id.
//!
//! The proxy that runs on the data directory is found by its control sockets. A worker answers there;
//! the process that takes signals is the one that started it.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::sessions::find;
use super::{Context, Exit, Failure, ui};
use crate::control::{self, ControlReply, ControlRequest, Process};
use crate::sys::running::RunningProcess;

/// How long a new worker may take to answer.
const STARTING: Duration = Duration::from_secs(30);
/// What a stop may take beyond `drain_timeout`.
const STOPPING: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Have the running proxy read its configuration again
///
/// The configuration is checked first: with a mistake in it nothing is sent, and the exit code is 78.
/// Live sessions that it does not allow any more are closed. What cannot change while the proxy runs
/// is named in its log.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {}

/// Have the running proxy replace itself by the program that is installed now
///
/// The new process takes the listeners over, and no session is dropped: the old worker serves its
/// sessions until the last one ends. Waits until the new worker answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Upgrade {}

/// Stop the running proxy
///
/// It accepts no more clients, tells users at terminals, and waits for sessions, up to `drain_timeout`.
/// Type it again to close what is left at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// Do not wait until it has stopped
    #[arg(long)]
    no_wait: bool,
}

impl Reload {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let proxy = Proxy::find(context)?;
        proxy.signal(Signal::HUP)?;
        ui::note(&format!(
            "rproxy: the proxy, process {}, reads its configuration again; its log says what changed",
            proxy.monitor.pid()
        ));
        Ok(())
    }
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let proxy = Proxy::find(context)?;
        let before = numbers(context)?;
        proxy.signal(Signal::USR2)?;
        let until = Instant::now() + STARTING;
        while Instant::now() < until && proxy.monitor.is_alive() {
            let new = control::processes(&directory(context)).map_err(find::failure)?;
            let new = new
                .into_iter()
                .find(|process| !before.contains(&process.pid()) && answers(process));
            if let Some(worker) = new {
                ui::note(&format!(
                    "rproxy: upgraded: process {} serves new clients",
                    worker.pid()
                ));
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(Failure::new(
            Exit::Failed,
            "the proxy has not replaced itself, and goes on as it was",
        )
        .hint("its log says why, and so does the event server.upgrade_refused of the audit log"))
    }
}

impl Stop {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let proxy = Proxy::find(context)?;
        proxy.signal(Signal::TERM)?;
        if self.no_wait {
            ui::note(&format!(
                "rproxy: the proxy, process {}, stops",
                proxy.monitor.pid()
            ));
            return Ok(());
        }
        let drain = context.config.proxy.drain_timeout;
        let until = Instant::now() + drain + STOPPING;
        while proxy.monitor.is_alive() {
            if Instant::now() >= until {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the proxy, process {}, still runs", proxy.monitor.pid()),
                )
                .hint(
                    "type it again to close what is left at once; its log says what it waits for",
                ));
            }
            std::thread::sleep(PAUSE);
        }
        ui::note("rproxy: the proxy has stopped");
        Ok(())
    }
}

/// The proxy that serves a data directory.
#[derive(Debug)]
struct Proxy {
    monitor: RunningProcess,
}

impl Proxy {
    fn find(context: &Context) -> Result<Self, Failure> {
        for worker in control::processes(&directory(context)).map_err(find::failure)? {
            match worker.ask(&ControlRequest::Sessions) {
                Ok(ControlReply::Done(_)) => {}
                Ok(ControlReply::Refused(why)) => {
                    return Err(super::sessions::refused::refused("", why));
                }
                Err(error @ control::ClientError::Denied(_)) => return Err(find::failure(error)),
                Ok(ControlReply::Pending) | Err(_) => continue,
            }
            let monitor = RunningProcess::find(worker.pid()).and_then(|worker| worker.parent());
            // A worker whose monitor is gone ends by itself, and takes no signals for it.
            if let Some(monitor) = monitor.filter(|monitor| monitor.pid() > 1) {
                return Ok(Self { monitor });
            }
        }
        Err(find::unreachable(context))
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        self.monitor.signal(signal).map_err(|error| {
            let pid = self.monitor.pid();
            match error.kind() {
                io::ErrorKind::PermissionDenied => Failure::new(
                    Exit::NotPermitted,
                    format!("cannot send a signal to the proxy, process {pid}"),
                )
                .because(error)
                .hint("run this as root, or as the account of the proxy"),
                _ => Failure::new(
                    Exit::Unreachable,
                    format!("cannot send a signal to the proxy, process {pid}"),
                )
                .because(error),
            }
        })
    }
}

fn directory(context: &Context) -> std::path::PathBuf {
    context.config.data_dir.control()
}

fn numbers(context: &Context) -> Result<BTreeSet<u32>, Failure> {
    let processes = control::processes(&directory(context)).map_err(find::failure)?;
    Ok(processes.iter().map(Process::pid).collect())
}

fn answers(process: &Process) -> bool {
    matches!(
        process.ask(&ControlRequest::Sessions),
        Ok(ControlReply::Done(_))
    )
}
