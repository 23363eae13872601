//! The end of the running proxy, in two steps: nobody is accepted any more, then those who are left
//! are ended.
//!
//! In between connections go on, and new sessions on them are as good as before. Where the proxy stops,
//! their users know when it is over; where another worker has taken over, nobody is in a hurry and
//! nobody is told. It decides when, never how: that is the business of each connection.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::monitor_client::MonitorClient;
use crate::audit::{AuditEvent, AuditLog};
use crate::ipc::WorkerMessage;
use crate::model::format_duration;
use crate::ssh::CurrentSettings;

/// Both steps. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Nobody is accepted any more.
    pub(super) closing: CancellationToken,
    /// The web is not served any more: while the proxy stops, it still is.
    pub(super) web: CancellationToken,
    /// Whoever is left is ended.
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

    /// When connections end, once that is known.
    pub(super) fn announced(&self) -> watch::Receiver<Option<Instant>> {
        self.announced.subscribe()
    }

    /// Why it has come to that; a stable name for the audit log.
    pub(super) fn reason(&self) -> &'static str {
        self.reason.get().copied().unwrap_or("signal")
    }

    /// Another worker accepts.
    pub(super) fn retire(&self) {
        let _first_reason_counts = self.reason.set("upgraded");
        tracing::info!("another worker accepts from now on, this one ends with its last session");
        self.closing.cancel();
        self.web.cancel();
    }

    /// Accepts nobody any more, says so, and ends those who are left when their time is over. Once.
    pub(super) fn drain(
        &self,
        settings: &CurrentSettings,
        audit: &AuditLog,
        reporter: &MonitorClient,
    ) {
        if self.announced.borrow().is_some() || self.over.is_cancelled() {
            return;
        }
        let _first_reason_counts = self.reason.set("signal");
        let limit = settings.now().drain;
        let end = Instant::now() + limit;
        self.announced.send_replace(Some(end));
        self.closing.cancel();
        let seconds = limit.as_secs();
        reporter.report(&WorkerMessage::Draining { seconds });
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

    /// Ends whoever is left.
    pub(super) fn end(&self, reason: &'static str) {
        let _first_reason_counts = self.reason.set(reason);
        self.over.cancel();
    }
}
