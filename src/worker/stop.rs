//! Stops a worker in two steps: no client is accepted any more; later the remaining connections are
//! ended.
//!
//! Between the steps, connections continue, and new sessions on them are permitted. If the proxy stops,
//! the users are warned and their time is limited; if another worker process has taken over, there is
//! no warning and no limit. This file decides when connections end; each connection decides how.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::monitor_client::MonitorClient;
use crate::audit::{AuditEvent, AuditLog};
use crate::ipc::ProcessMessage;
use crate::model::format_duration;
use crate::ssh::CurrentSettings;

/// The two steps. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Cancelled when no client is accepted any more.
    pub(super) closing: CancellationToken,
    /// Cancelled when the web is not served any more. While the proxy drains, the web is still
    /// served.
    pub(super) web: CancellationToken,
    /// Cancelled when the remaining connections are ended.
    pub(super) over: CancellationToken,
    announced: watch::Sender<Option<Instant>>,
    reason: Arc<OnceLock<&'static str>>,
}

impl Stop {
    pub(super) fn new() -> Self {
        let over = CancellationToken::new();
        Self {
            closing: over.child_token(),
            web: over.child_token(),
            over,
            announced: watch::Sender::new(None),
            reason: Arc::default(),
        }
    }

    /// The time at which connections end, once it is known.
    pub(super) fn announced(&self) -> watch::Receiver<Option<Instant>> {
        self.announced.subscribe()
    }

    /// Why the worker stops; a stable name for the audit log.
    pub(super) fn reason(&self) -> &'static str {
        self.reason.get().copied().unwrap_or("signal")
    }

    /// Another worker process accepts clients from now on.
    pub(super) fn retire(&self) {
        let _already_set = self.reason.set("upgraded");
        tracing::info!("another worker accepts from now on, this one ends with its last session");
        self.closing.cancel();
        self.web.cancel();
    }

    /// Stops accepting clients, reports and audits that, and ends the remaining connections after
    /// the configured time. Has no effect the second time.
    pub(super) fn drain(
        &self,
        settings: &CurrentSettings,
        audit: &AuditLog,
        reporter: &MonitorClient,
    ) {
        if self.announced.borrow().is_some() || self.over.is_cancelled() {
            return;
        }
        let _already_set = self.reason.set("signal");
        let limit = settings.now().drain;
        let end = Instant::now() + limit;
        self.announced.send_replace(Some(end));
        self.closing.cancel();
        let seconds = limit.as_secs();
        reporter.report(&ProcessMessage::Draining { seconds });
        audit.emit_or_log(&AuditEvent::ServerDraining { seconds });
        let shown = format_duration(limit);
        tracing::info!("stopping: no new connections, those that are open have {shown}");
        if limit.is_zero() {
            return self.over.cancel();
        }
        let over = self.over.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(end).await;
            over.cancel();
        });
    }

    /// Ends the remaining connections now.
    pub(super) fn end(&self, reason: &'static str) {
        let _already_set = self.reason.set(reason);
        self.over.cancel();
    }
}
