//! What the service manager is told (`sd_notify(3)`): ready, reloading, stopping, and a sign of life.
//!
//! Without `NOTIFY_SOCKET` in the environment there is nobody to tell, and nothing happens. The
//! monitor alone speaks: workers do not know of the service manager.

use std::time::Duration;

use sd_notify::NotifyState;

/// What it takes to end the connections that are left, and then the program.
const MARGIN: Duration = Duration::from_secs(15);

/// How often the service manager is told that stopping takes its time. It cannot be told of more than
/// an hour at once, and a program that hangs should not have an hour.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// The variables by which a service manager speaks to the process that it has started, and to no other.
pub(super) const VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Those of them that are about sockets.
pub(super) const SOCKETS: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

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

/// No clients are accepted any more. Those who are there have this much time: the manager should not be
/// less patient. To be told again within [`AGAIN`], as long as it is not over.
pub(super) fn stopping(left: Duration) {
    let needed = (left + MARGIN).min(2 * AGAIN).as_micros();
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(u32::try_from(needed).unwrap_or(u32::MAX)),
    ]);
}

/// A sign of life.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the service manager wants a sign of life, if it wants any: twice in its limit.
pub(super) fn watchdog() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())?;
    Some((limit / 2).max(Duration::from_millis(1)))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
