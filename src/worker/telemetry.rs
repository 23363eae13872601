//! The listener for metrics and health checks. It outlives the listener for clients, so that monitoring
//! can follow the draining.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::stop::Stop;
use crate::audit::AuditLog;
use crate::metrics::Metrics;
use crate::ssh::listener::ServingThreads;
use crate::sys::clock::Clock;
use crate::sys::files::Files;
use crate::web::{Health, Server, StatusSource, Telemetry, WebError};

/// How often to check whether sums are due; they are due once a minute.
const LOOK_FOR_SUMS: Duration = Duration::from_secs(5);

/// Creates the counters.
pub(super) fn metrics(clock: Clock) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    let seconds = u32::try_from(clock.unix_seconds()).map(f64::from);
    metrics.process_start.set(seconds.ok());
    metrics
}

/// A running listener.
#[derive(Debug)]
pub(super) struct Serving {
    thread: JoinHandle<()>,
    end: CancellationToken,
}

/// Serves metrics and health checks, if a listener is configured, until another worker process takes
/// over or the proxy has stopped. It is called on the runtime that accepts clients.
///
/// # Errors
/// When the file descriptor is not a listener, or a thread or runtime cannot be created.
pub(super) fn serve(
    listener: Option<std::net::TcpListener>,
    source: Arc<dyn StatusSource>,
    files: Arc<dyn Files>,
    metrics: &Arc<Metrics>,
    workers: &ServingThreads,
    stop: &Stop,
) -> Result<Option<Serving>, WebError> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let server = Server::new(listener, None)?;
    tracing::info!("the metrics are at {}/metrics", server.url());
    let pulse = workers.pulse().and(Handle::current());
    let health = Health::new(Arc::clone(&source), files, pulse, stop.closing.clone());
    let end = stop.web.clone();
    let telemetry = Telemetry::new(source, Arc::clone(metrics), health);
    Ok(Some(Serving {
        thread: telemetry.serve(server, end.clone())?,
        end,
    }))
}

impl Serving {
    /// Stops serving.
    pub(super) fn end(self) {
        self.end.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the metrics panicked");
        }
    }
}

/// Audits regularly how many refusals exceeded the rate limit of the audit log.
pub(super) async fn tell_sums(audit: AuditLog) {
    let mut time = tokio::time::interval(LOOK_FOR_SUMS);
    loop {
        time.tick().await;
        // If the event cannot be written, the program's log has it.
        let _told_already = audit.tell_sums(false);
    }
}
