//! Why the proxy does not run, or has stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::event::Exited;
use crate::model::text;
use crate::sys::fs::FsError;

/// Why the proxy does not run, or has stopped.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// Another proxy serves the data directory.
    #[error("another rproxy serve runs on the data directory {}", text::path(.0))]
    Busy(PathBuf),
    /// The data directory cannot be used.
    #[error("cannot use the data directory")]
    DataDir(#[from] FsError),
    /// A port is in use, or may not be used.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// A socket that the service manager passed is not a listener.
    #[error("cannot use the sockets that the service manager gives")]
    Given(#[source] io::Error),
    /// The operating system refuses a process, a thread, a runtime or a signal handler.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// The state that an earlier version handed over is unusable.
    #[error("cannot take over from the program that ran here before")]
    Handover(#[source] io::Error),
    /// The first process of a kind exited before it was ready; its log says why.
    #[error("the process {0} ended {1} before it was ready")]
    NotStarted(&'static str, Exited),
    /// The worker exited without an order.
    #[error("the worker ended {0}, and with it every connection that it had")]
    WorkerEnded(Exited),
}

impl MonitorError {
    /// What the administrator can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
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
