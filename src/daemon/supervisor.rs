//! What the service manager is told (`sd_notify(3)`): ready, reloading, stopping, and a sign of life.
//!
//! Without `NOTIFY_SOCKET` in the environment there is nobody to tell, and nothing happens.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

/// Clients are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no clock for the service manager"),
    }
}

/// No clients are accepted any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Gives a sign of life twice in each interval of the service manager's watchdog, if it has one.
pub(super) async fn live() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep((limit / 2).max(Duration::from_millis(1))).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
