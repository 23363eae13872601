//! The end of the running proxy, in two steps: nobody is accepted any more, then those who are left
//! are ended.
//!
//! In between connections go on, their users know when it is over, and new sessions on them are as
//! good as before. It decides when, never how: that is the business of each connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::supervisor;
use crate::audit::AuditEvent;
use crate::ssh::Proxy;

/// Both steps. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Nobody is accepted any more.
    pub(super) closing: CancellationToken,
    /// Whoever is left is ended.
    pub(super) over: CancellationToken,
    announced: watch::Sender<Option<Instant>>,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self {
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
            announced: watch::Sender::new(None),
        }
    }

    /// When connections end, once that is known.
    pub(super) fn announced(&self) -> watch::Receiver<Option<Instant>> {
        self.announced.subscribe()
    }

    /// Waits for the signals: the first one begins it, the second one, or time, ends it.
    pub(super) async fn on_signals(self, proxy: Arc<Proxy>, mut signals: [Signal; 2]) {
        one_of(&mut signals).await;
        let limit = proxy.settings.borrow().drain;
        self.drain(&proxy, limit);
        tokio::select! {
            () = one_of(&mut signals) => {}
            () = pass(limit) => {}
        }
        self.over.cancel();
    }

    /// Accepts nobody any more, and says so.
    fn drain(&self, proxy: &Proxy, limit: Duration) {
        self.closing.cancel();
        proxy.tell(&AuditEvent::ServerDraining {
            seconds: limit.as_secs(),
        });
        let shown = crate::model::format_duration(limit);
        tracing::info!("stopping: no new connections, those that are open have {shown}");
        if !limit.is_zero() {
            self.announced.send_replace(Some(Instant::now() + limit));
        }
    }
}

/// Lets the time pass, and the service manager know.
async fn pass(limit: Duration) {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        supervisor::stopping(left);
        tokio::time::sleep(left.min(supervisor::AGAIN)).await;
        if left.is_zero() {
            return;
        }
    }
}

async fn one_of([one, other]: &mut [Signal; 2]) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
