//! What a worker changes about its own process: limits and the sandbox.

use super::error::ServeError;
use crate::config::Config;
use crate::monitor::{self, WORKER};
use crate::sys::sandbox::Confinement;

/// Confines the process, unless the configuration turns that off.
pub(super) fn confine(config: &Config) -> Result<Option<Confinement>, ServeError> {
    if config.proxy.sandbox {
        monitor::prepare(config);
    }
    Ok(WORKER.confine(config)?)
}

/// How many threads can run at once.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Every connection needs several file descriptors. The soft limit is low for the sake of programs
/// that use `select`; rproxy does not use it.
pub(super) fn raise_file_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
