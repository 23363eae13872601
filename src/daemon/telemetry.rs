//! The listener for the operator's machines: numbers, and whether all is well. It lives longer than the
//! one for clients, so that somebody can ask how far the proxy is with stopping.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::ssh::Proxy;
use crate::ssh::listener::Workers;
use crate::sys::clock::Clock;
use crate::web::{Health, Server, Telemetry, WebError};

/// What is counted, from now on.
pub(super) fn metrics(clock: Clock) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    let seconds = u32::try_from(clock.unix_seconds()).map(f64::from);
    metrics.process_start.set(seconds.ok());
    metrics
}

/// A listener that has its port.
#[derive(Debug)]
pub(super) struct Bound(Server);

/// A listener that answers.
#[derive(Debug)]
pub(super) struct Serving {
    thread: JoinHandle<()>,
    end: CancellationToken,
}

/// Takes the port, where the configuration has one.
///
/// # Errors
/// When the port cannot be had.
pub(super) fn bind(config: &Config) -> Result<Option<Bound>, WebError> {
    let address = config.proxy.metrics_listen_addr;
    let server = address.map(|address| Server::bind(address, None));
    Ok(server.transpose()?.map(Bound))
}

impl Bound {
    /// Answers about this proxy, which takes no more clients once `shutdown` is cancelled. It is called
    /// on the runtime that accepts them.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub(super) fn serve(
        self,
        proxy: &Arc<Proxy>,
        workers: &Workers,
        shutdown: &CancellationToken,
    ) -> Result<Serving, WebError> {
        tracing::info!("the metrics are at {}/metrics", self.0.url());
        let pulse = workers.pulse().and(Handle::current());
        let health = Health::new(Arc::clone(proxy), pulse, shutdown.clone());
        let end = CancellationToken::new();
        let telemetry = Telemetry::new(Arc::clone(proxy), health);
        Ok(Serving {
            thread: telemetry.serve(self.0, end.clone())?,
            end,
        })
    }
}

impl Serving {
    /// Stops answering.
    pub(super) fn end(self) {
        self.end.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the metrics panicked");
        }
    }
}
