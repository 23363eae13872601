//! What a worker changes about its own process: limits and the sandbox.

use super::error::ServeError;
use crate::config::Config;
use crate::monitor::{self, WORKER};
use crate::sys::sandbox::Confinement;

/// Confines the process, unless the configuration turns that off.
pub(super) fn confine(config: &Config) -> Result<Option<Confinement>, ServeError> {
    if !config.proxy.sandbox {
        tracing::warn!(
            "proxy_service.sandbox is off: a worker that is taken over has the account's files"
        );
        return Ok(None);
    }
    monitor::prepare(config);
    let confinement = (WORKER.sandbox)(config).apply()?;
    tracing::info!("confined by {}", confinement.layers());
    let missing = confinement.layers().missing();
    if !missing.is_empty() {
        let missing = missing.join("; ");
        tracing::warn!("this kernel cannot confine it as far as it should be: {missing}");
    }
    Ok(Some(confinement))
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
