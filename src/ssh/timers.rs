//! The time limits of a live connection: an idle client, a peer that no longer answers, a
//! certificate or a sign-in that expires, a proxy that stops.
//!
//! Packets only move deadlines further away, so one timer is enough: when it fires, the deadlines are
//! computed again and it is set to the next one. A packet costs one reading of the clock.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::channel::ChannelHandle;
use super::end_reason::EndReason;
use super::refusal;
use crate::sys::clock::Clock;
use crate::wire::connection::number;

/// How long before a certificate or a sign-in expires its user is warned.
const WARNING: Duration = Duration::from_secs(5 * 60);
/// How often the time of day is read, which an administrator may change at any time.
const LOOK: Duration = Duration::from_secs(60);
/// The same while the user has not read a warning yet.
const WARN_LOOK: Duration = Duration::from_secs(1);
/// When a timer without a deadline fires, which is harmless.
const NEVER: Duration = Duration::from_secs(86_400);

/// The configured limits of a live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Longest time without input from the client; zero for no limit.
    pub idle: Duration,
    /// Whether a connection ends when its certificate expires.
    pub ends_with_certificate: bool,
    /// After how long a silent peer is sent a keepalive; zero for never.
    pub keep_alive_interval: Duration,
    /// How many keepalives may stay unanswered.
    pub keep_alive_count_max: u32,
}

/// What is to be done about a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepaliveState {
    /// Nothing to do yet.
    Beats,
    /// Send it a keepalive.
    Ask,
    /// It has been silent for this long, and has had all the keepalives.
    Lost(Duration),
}

/// Keepalives to one peer, as sshd sends them by `ClientAliveInterval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    count_max: u32,
    heard: Instant,
    asked: u32,
}

impl KeepAlive {
    pub(crate) fn new(limits: &TimeLimits, now: Instant) -> Self {
        Self {
            interval: limits.keep_alive_interval,
            count_max: limits.keep_alive_count_max,
            heard: now,
            asked: 0,
        }
    }

    /// The peer has sent something, whatever it was.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
    }

    /// When to check again.
    pub(crate) fn due(&self) -> Option<Instant> {
        let silence = self.interval * (self.asked + 1);
        (!self.interval.is_zero()).then(|| self.heard + silence)
    }

    /// What to do now.
    pub(crate) fn check(&mut self, now: Instant) -> KeepaliveState {
        if self.due().is_none_or(|due| due > now) {
            return KeepaliveState::Beats;
        }
        if self.asked >= self.count_max {
            return KeepaliveState::Lost(now - self.heard);
        }
        self.asked += 1;
        KeepaliveState::Ask
    }
}

/// How long a peer may take to read what was said last, and to close the channels that are over.
#[derive(Debug, Default)]
pub(crate) struct CloseTimeout {
    waits_since: Option<Instant>,
}

impl CloseTimeout {
    const LIMIT: Duration = Duration::from_secs(10);

    /// Whether nothing but the peer has kept the connection for too long. To be asked again and again;
    /// `waits_for_peer` is how it is now.
    pub(crate) fn has_expired(&mut self, waits_for_peer: bool, now: Instant) -> bool {
        if !waits_for_peer {
            self.waits_since = None;
            return false;
        }
        *self.waits_since.get_or_insert(now) + Self::LIMIT <= now
    }
}

/// Fires once at the time it is set to; then it has to be set again.
#[derive(Debug)]
pub(crate) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    pub(crate) fn new(at: Option<Instant>) -> Self {
        let at = at.unwrap_or_else(|| Instant::now() + NEVER);
        Self(Box::pin(sleep_until(at)))
    }

    pub(crate) fn set(&mut self, at: Option<Instant>) {
        let at = at.unwrap_or_else(|| Instant::now() + NEVER);
        self.0.as_mut().reset(at);
    }

    /// Waits until it fires. May be dropped and called again.
    pub(crate) async fn ring(&mut self) {
        self.0.as_mut().await;
    }
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Send the host a keepalive.
    AskHost,
    /// Warn the user that the certificate or the sign-in expires in this time; due until
    /// [`ConnectionTimers::warn`].
    Warn(Duration),
    /// Warn the user that the proxy stops in this time; due until [`ConnectionTimers::tell_of_stop`].
    TellOfStop(Duration),
    /// End the connection.
    End(EndReason),
}

/// What expires, and the connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiring {
    Certificate,
    /// `PolicyMonitor` ends the connection, as for other ends of a sign-in.
    SignIn,
}

/// When the proof of the user's identity expires.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    what: Expiring,
    /// In seconds after the epoch.
    at: u64,
    warned: bool,
}

/// The timers of one relayed connection.
#[derive(Debug)]
pub(crate) struct ConnectionTimers {
    host: KeepAlive,
    /// The longest idle time, and when the client was last active.
    idle: Option<Duration>,
    active: Instant,
    expiry: Option<Expiry>,
    /// When the proxy stops; `None` if it does not stop, or the user was warned.
    stop: Option<Instant>,
    clock: Clock,
    timer: Timer,
    /// Where the user reads what is not part of a session, if there is such a place.
    terminal: Option<ChannelHandle>,
}

impl ConnectionTimers {
    /// Starts the timers. `valid_before` is the certificate's, in seconds after the epoch.
    pub(crate) fn new(
        limits: &TimeLimits,
        valid_before: u64,
        clock: Clock,
        terminal: Option<ChannelHandle>,
    ) -> Self {
        let now = Instant::now();
        let mut timers = Self {
            host: KeepAlive::new(limits, now),
            idle: (!limits.idle.is_zero()).then_some(limits.idle),
            active: now,
            expiry: limits.ends_with_certificate.then_some(Expiry {
                what: Expiring::Certificate,
                at: valid_before,
                warned: false,
            }),
            stop: None,
            clock,
            timer: Timer::new(None),
            terminal,
        };
        timers.set_timer(now);
        timers
    }

    /// The same for a user who has signed in until then, in seconds after the epoch.
    pub(crate) fn with_sign_in(mut self, until: u64) -> Self {
        self.expiry = Some(Expiry {
            what: Expiring::SignIn,
            at: until,
            warned: false,
        });
        self.set_timer(Instant::now());
        self
    }

    /// A packet from the client. Only new channels and their data count as activity: programs send
    /// keepalives and window adjustments by themselves.
    pub(crate) fn client_said(&mut self, payload: &[u8]) {
        if matches!(
            payload.first(),
            Some(&(number::CHANNEL_OPEN | number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA))
        ) {
            self.active = Instant::now();
        }
    }

    /// A packet from the host.
    pub(crate) fn host_said(&mut self) {
        self.host.heard(Instant::now());
    }

    /// Writes to the user's terminal outside of any session, if there is a way to it.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(terminal) = &self.terminal {
            terminal.stderr(text);
        }
    }

    /// Warns the user that the certificate or the sign-in expires. The warning is shown once.
    pub(crate) fn warn(&mut self, left: Duration) {
        let Some(expiry) = &mut self.expiry else {
            return;
        };
        expiry.warned = true;
        let text = match expiry.what {
            Expiring::Certificate => refusal::certificate_expires(left),
            Expiring::SignIn => refusal::sign_in_expires(left),
        };
        self.tell(&text);
    }

    /// Sets the time at which the proxy stops.
    pub(crate) fn stops_at(&mut self, at: Instant) {
        self.stop = Some(at);
        self.timer.set(Some(Instant::now()));
    }

    /// Warns the user that the proxy stops. The warning is shown once.
    pub(crate) fn tell_of_stop(&mut self, left: Duration) {
        self.tell(&refusal::proxy_stops(left));
        self.stop = None;
    }

    /// Waits until something is due. Cancel-safe: may be dropped and called again.
    pub(crate) async fn due(&mut self) -> Expired {
        loop {
            self.timer.ring().await;
            let now = Instant::now();
            let due = self.check(now);
            self.set_timer(now);
            if let Some(due) = due {
                return due;
            }
        }
    }

    fn check(&mut self, now: Instant) -> Option<Expired> {
        if let Some(limit) = self.idle
            && now >= self.active + limit
        {
            return Some(Expired::End(EndReason::ClientIdle(limit)));
        }
        match self.host.check(now) {
            KeepaliveState::Beats => {}
            KeepaliveState::Ask => return Some(Expired::AskHost),
            KeepaliveState::Lost(silence) => {
                return Some(Expired::End(EndReason::HostLost(silence)));
            }
        }
        let left = self.expiry.map(|expiry| self.left(expiry));
        let is_expired = left.is_some_and(|left| left.is_zero());
        let is_certificate = |expiry: Expiry| expiry.what == Expiring::Certificate;
        if is_expired && self.expiry.is_some_and(is_certificate) {
            return Some(Expired::End(EndReason::CertificateExpired));
        }
        if let Some(at) = self.stop {
            return Some(Expired::TellOfStop(at.saturating_duration_since(now)));
        }
        let unwarned = self.expiry.filter(|expiry| !expiry.warned && !is_expired);
        unwarned
            .and(left)
            .filter(|left| *left <= WARNING)
            .map(Expired::Warn)
    }

    fn left(&self, expiry: Expiry) -> Duration {
        Duration::from_secs(expiry.at.saturating_sub(self.clock.unix_seconds()))
    }

    fn set_timer(&mut self, now: Instant) {
        let expiry = self.expiry.map(|expiry| {
            let left = self.left(expiry);
            let step = match left.checked_sub(WARNING) {
                // Nothing of it is due here any more.
                None if left.is_zero() && expiry.what == Expiring::SignIn => NEVER,
                Some(unworried) if !unworried.is_zero() => unworried.min(LOOK),
                _ if expiry.warned => left.min(LOOK),
                _ => left.min(WARN_LOOK),
            };
            now + step
        });
        let idle = self.idle.map(|limit| self.active + limit);
        // A session with a terminal may begin meanwhile.
        let untold = self.stop.map(|_| now + WARN_LOOK);
        let dues = [self.host.due(), idle, expiry, untold];
        self.timer.set(dues.into_iter().flatten().min());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TimeLimits = TimeLimits {
        idle: Duration::ZERO,
        ends_with_certificate: false,
        keep_alive_interval: Duration::from_secs(30),
        keep_alive_count_max: 3,
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_silent_peer_is_asked_thrice_and_then_lost() {
        let start = Instant::now();
        let mut peer = KeepAlive::new(&LIMITS, start);
        for (at, pulse) in [
            (29, KeepaliveState::Beats),
            (30, KeepaliveState::Ask),
            (31, KeepaliveState::Beats),
            (60, KeepaliveState::Ask),
            (90, KeepaliveState::Ask),
            (119, KeepaliveState::Beats),
            (120, KeepaliveState::Lost(seconds(120))),
        ] {
            assert_eq!(peer.check(start + seconds(at)), pulse, "{at}");
        }
    }

    #[test]
    fn a_peer_has_ten_seconds_to_close_each_time() {
        let start = Instant::now();
        let mut timeout = CloseTimeout::default();
        for (at, waits_for_peer, has_expired) in [
            (0, true, false),
            (9, true, false),
            (10, true, true),
            (11, false, false),
            (30, true, false),
            (39, true, false),
            (40, true, true),
        ] {
            let now = start + seconds(at);
            assert_eq!(
                timeout.has_expired(waits_for_peer, now),
                has_expired,
                "{at}"
            );
        }
    }

    #[test]
    fn any_message_from_a_peer_starts_the_count_again() {
        let start = Instant::now();
        let mut peer = KeepAlive::new(&LIMITS, start);
        assert_eq!(peer.check(start + seconds(30)), KeepaliveState::Ask);
        assert_eq!(peer.check(start + seconds(60)), KeepaliveState::Ask);
        peer.heard(start + seconds(61));
        assert_eq!(peer.due(), Some(start + seconds(91)));
        assert_eq!(peer.check(start + seconds(90)), KeepaliveState::Beats);
        assert_eq!(peer.check(start + seconds(91)), KeepaliveState::Ask);
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nothing_is_ever_due() {
        let limits = TimeLimits {
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        assert_eq!(timers.check(Instant::now() + seconds(1_000_000)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_channels_and_their_data_are_activity() {
        let limits = TimeLimits {
            idle: seconds(60),
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        for (kind, is_activity) in [
            (80, false),
            (81, false),
            (90, true),
            (93, false),
            (94, true),
            (95, true),
            (98, false),
        ] {
            let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
            timers.active -= seconds(30);
            let before = timers.active;
            timers.client_said(&[kind, 0, 0, 0, 0]);
            timers.host_said();
            assert_eq!(timers.active > before, is_activity, "{kind}");
            let end = Expired::End(EndReason::ClientIdle(seconds(60)));
            assert_eq!(timers.check(timers.active + seconds(60)), Some(end));
            assert_eq!(timers.check(timers.active + seconds(59)), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_warned_about_until_the_user_could_read_it() {
        let limits = TimeLimits {
            ends_with_certificate: true,
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let now = Instant::now();
        let timers_at = |wall| ConnectionTimers::new(&limits, 1_000, Clock::Fixed(wall), None);
        assert_eq!(timers_at(699).check(now), None);
        let mut near = timers_at(700);
        assert_eq!(near.check(now), Some(Expired::Warn(seconds(300))));
        assert_eq!(near.check(now), Some(Expired::Warn(seconds(300))));
        near.warn(seconds(300));
        assert_eq!(near.check(now), None);
        for expired in [1_000, 2_000] {
            let end = Expired::End(EndReason::CertificateExpired);
            assert_eq!(timers_at(expired).check(now), Some(end));
        }
        let never = ConnectionTimers::new(&limits, u64::MAX, Clock::Fixed(1), None).check(now);
        assert_eq!(never, None);
    }

    /// Whatever the configuration says about certificates.
    #[tokio::test(start_paused = true)]
    async fn a_sign_in_is_warned_about_and_not_ended_here() {
        let limits = TimeLimits {
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let now = Instant::now();
        let timers_at = |wall| {
            ConnectionTimers::new(&limits, 1_000, Clock::Fixed(wall), None).with_sign_in(1_000)
        };
        assert_eq!(timers_at(699).check(now), None);
        let mut near = timers_at(700);
        assert_eq!(near.check(now), Some(Expired::Warn(seconds(300))));
        near.warn(seconds(300));
        assert_eq!(near.check(now), None);
        let mut over = timers_at(1_000);
        assert_eq!(over.check(now), None);
        let nothing = tokio::time::timeout(seconds(3_600), over.due()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_told_as_soon_as_the_user_can_read_it_and_once() {
        let limits = TimeLimits {
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        let now = Instant::now();
        timers.stops_at(now + seconds(30));
        for _ in 0..2 {
            assert_eq!(timers.check(now), Some(Expired::TellOfStop(seconds(30))));
        }
        let Expired::TellOfStop(left) = timers.due().await else {
            panic!("nothing else is due");
        };
        timers.tell_of_stop(left);
        assert_eq!(timers.check(now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_fires_after_its_wait_was_dropped_and_its_deadline_moved() {
        let limits = TimeLimits {
            idle: Duration::from_millis(60),
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        for _ in 0..5 {
            let early = tokio::time::timeout(Duration::from_millis(20), timers.due()).await;
            assert!(early.is_err());
            timers.client_said(&[number::CHANNEL_DATA]);
        }
        assert!(matches!(
            timers.due().await,
            Expired::End(EndReason::ClientIdle(_))
        ));
    }

    /// What is due, and after how many seconds.
    async fn next_due(timers: &mut ConnectionTimers, since: Instant) -> (u64, Expired) {
        let due = tokio::time::timeout(seconds(86_400), timers.due()).await;
        (since.elapsed().as_secs(), due.expect("something is due"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_has_its_keepalives_and_then_the_connection_ends() {
        let mut timers = ConnectionTimers::new(&LIMITS, 0, Clock::Fixed(1), None);
        let start = Instant::now();
        for at in [30, 60, 90] {
            assert_eq!(next_due(&mut timers, start).await, (at, Expired::AskHost));
        }
        let lost = Expired::End(EndReason::HostLost(seconds(120)));
        assert_eq!(next_due(&mut timers, start).await, (120, lost));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_answers_is_kept_and_an_idle_client_is_not() {
        let limits = TimeLimits {
            idle: seconds(100),
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        let start = Instant::now();
        for at in [30, 60, 90] {
            assert_eq!(next_due(&mut timers, start).await, (at, Expired::AskHost));
            timers.host_said();
        }
        let idle = Expired::End(EndReason::ClientIdle(seconds(100)));
        assert_eq!(next_due(&mut timers, start).await, (100, idle));
    }

    #[tokio::test(start_paused = true)]
    async fn input_moves_the_end_of_an_idle_connection() {
        let limits = TimeLimits {
            idle: seconds(100),
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        let start = Instant::now();
        tokio::time::advance(seconds(99)).await;
        timers.client_said(&[number::CHANNEL_DATA]);
        tokio::time::advance(seconds(50)).await;
        timers.client_said(&[number::CHANNEL_WINDOW_ADJUST]);
        let idle = Expired::End(EndReason::ClientIdle(seconds(100)));
        assert_eq!(next_due(&mut timers, start).await, (199, idle));
    }

    /// A warning that had no terminal to go to is due again a second later.
    #[tokio::test(start_paused = true)]
    async fn a_warning_is_due_each_second_until_it_was_given() {
        let limits = TimeLimits {
            ends_with_certificate: true,
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut timers = ConnectionTimers::new(&limits, 1_000, Clock::Fixed(700), None);
        let start = Instant::now();
        for at in [1, 2, 3] {
            let warn = Expired::Warn(seconds(300));
            assert_eq!(next_due(&mut timers, start).await, (at, warn));
        }
        timers.warn(seconds(300));
        let later = tokio::time::timeout(seconds(3_600), timers.due()).await;
        assert!(later.is_err(), "{later:?}");
    }
}
