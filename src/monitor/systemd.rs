//! Notifies the service manager (`sd_notify(3)`): ready, reloading, stopping, and the watchdog.
//!
//! Without `NOTIFY_SOCKET` in the environment, nothing is sent. Only the monitor sends
//! notifications; workers do not know the service manager.

use std::time::Duration;

use sd_notify::NotifyState;

/// The time that it takes to end the remaining connections and then the program.
const MARGIN: Duration = Duration::from_secs(15);

/// How often the service manager is asked for more time to stop. A request covers at most an hour,
/// and a program that hangs must not get an hour.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// The variables through which a service manager talks to the process that it has started. They are not
/// for other processes.
pub(super) const VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// The variables that describe sockets.
pub(super) const SOCKETS: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Reports that clients are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Reports that the configuration is being reloaded, until [`ready`] is called.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no clock for the service manager"),
    }
}

/// Reports that no more clients are accepted, and that the remaining connections may take this long, so
/// that the service manager does not kill the proxy earlier. Has to be called again within [`AGAIN`]
/// while the proxy is stopping.
pub(super) fn stopping(left: Duration) {
    let needed = (left + MARGIN).min(2 * AGAIN).as_micros();
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(u32::try_from(needed).unwrap_or(u32::MAX)),
    ]);
}

/// Reports that the proxy lives.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often to call [`alive`], if the service manager has a watchdog: twice in its time limit.
pub(super) fn watchdog() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())?;
    Some((limit / 2).max(Duration::from_millis(1)))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
