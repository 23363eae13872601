//! What time does to a live connection: a client that is idle, a peer that does not answer any more,
//! a certificate that expires, a proxy that stops.
//!
//! Packets only push deadlines further away, so one alarm is enough: when it rings, what is due is
//! worked out, and it is set anew. A packet costs a look at the clock.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::channel::ChannelHandle;
use super::end_reason::EndReason;
use crate::model::format_duration;
use crate::sys::clock::Clock;
use crate::wire::connection::number;

/// How long before a certificate expires its user is warned.
const WARNING: Duration = Duration::from_secs(5 * 60);
/// How often the clock on the wall is looked at, which may be set anew at any time, and how often
/// where somebody is still to be warned.
const LOOK: Duration = Duration::from_secs(60);
const WARN_LOOK: Duration = Duration::from_secs(1);
/// An alarm that nobody waits for.
const NEVER: Duration = Duration::from_secs(86_400);

/// The configured limits of a live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// Longest time without a byte from the client; zero for any.
    pub idle: Duration,
    /// Whether a connection ends with its certificate.
    pub ends_with_certificate: bool,
    /// After how long a silent peer is asked whether it is there; zero for never.
    pub keep_alive_interval: Duration,
    /// How many questions may stay unanswered.
    pub keep_alive_count_max: u32,
}

/// What a look at the clock says about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepaliveState {
    /// Nothing to do yet.
    Beats,
    /// Ask whether it is there.
    Ask,
    /// It has been silent for this long, and was asked often enough.
    Lost(Duration),
}

/// Whether one peer is still there, as sshd's `ClientAliveInterval` finds out.
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

    /// The peer has said something, whatever it was.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Option<Instant> {
        let silence = self.interval * (self.asked + 1);
        (!self.interval.is_zero()).then(|| self.heard + silence)
    }

    /// What is to be done now.
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

/// Rings once at the time it is set to; then it has to be set anew.
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

    /// Waits for it. May be dropped and called again.
    pub(crate) async fn ring(&mut self) {
        self.0.as_mut().await;
    }
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Ask the host whether it is there.
    AskHost,
    /// Tell the user that the certificate expires in this time; due until [`ConnectionTimers::warn`].
    Warn(Duration),
    /// Tell the user that the proxy stops in this time; due until [`ConnectionTimers::tell_of_stop`].
    TellOfStop(Duration),
    /// End the connection.
    End(EndReason),
}

/// The end of a certificate.
#[derive(Clone, Copy, Debug)]
struct Certificate {
    /// In seconds after the epoch.
    ends: u64,
    warned: bool,
}

/// The time of one relayed connection.
#[derive(Debug)]
pub(crate) struct ConnectionTimers {
    host: KeepAlive,
    /// The longest idle time, and when the client was last active.
    idle: Option<Duration>,
    active: Instant,
    certificate: Option<Certificate>,
    /// When the proxy stops, as long as the user does not know.
    stop: Option<Instant>,
    clock: Clock,
    alarm: Timer,
    /// Where the user reads what is not part of a session, if there is such a place.
    terminal: Option<ChannelHandle>,
}

impl ConnectionTimers {
    /// Begins now. `valid_before` is the certificate's, in seconds after the epoch.
    pub(crate) fn new(
        limits: &TimeLimits,
        valid_before: u64,
        clock: Clock,
        terminal: Option<ChannelHandle>,
    ) -> Self {
        let now = Instant::now();
        let mut watch = Self {
            host: KeepAlive::new(limits, now),
            idle: (!limits.idle.is_zero()).then_some(limits.idle),
            active: now,
            certificate: limits.ends_with_certificate.then_some(Certificate {
                ends: valid_before,
                warned: false,
            }),
            stop: None,
            clock,
            alarm: Timer::new(None),
            terminal,
        };
        watch.set_alarm(now);
        watch
    }

    /// A packet from the client. Only what somebody types, sends or starts counts: keepalives and
    /// window grants come from programs that nobody sits at.
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

    /// Says something to the user that is part of no session, where there is a place for it.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(terminal) = &self.terminal {
            terminal.stderr(text);
        }
    }

    /// Warns the user, once.
    pub(crate) fn warn(&mut self, left: Duration) {
        self.tell(&warning(left));
        if let Some(certificate) = &mut self.certificate {
            certificate.warned = true;
        }
    }

    /// The proxy stops at this time.
    pub(crate) fn stops_at(&mut self, at: Instant) {
        self.stop = Some(at);
        self.alarm.set(Some(Instant::now()));
    }

    /// Tells the user of it, once.
    pub(crate) fn tell_of_stop(&mut self, left: Duration) {
        self.tell(&stopping(left));
        self.stop = None;
    }

    /// Waits until something is due. May be dropped and called again.
    pub(crate) async fn due(&mut self) -> Expired {
        loop {
            self.alarm.ring().await;
            let now = Instant::now();
            let due = self.check(now);
            self.set_alarm(now);
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
        let left = self.certificate.map(|certificate| self.left(certificate));
        if left.is_some_and(|left| left.is_zero()) {
            return Some(Expired::End(EndReason::CertificateExpired));
        }
        if let Some(at) = self.stop {
            return Some(Expired::TellOfStop(at.saturating_duration_since(now)));
        }
        let unwarned = self.certificate.filter(|certificate| !certificate.warned);
        unwarned
            .and(left)
            .filter(|left| *left <= WARNING)
            .map(Expired::Warn)
    }

    fn left(&self, certificate: Certificate) -> Duration {
        Duration::from_secs(certificate.ends.saturating_sub(self.clock.unix_seconds()))
    }

    fn set_alarm(&mut self, now: Instant) {
        let expiry = self.certificate.map(|certificate| {
            let left = self.left(certificate);
            let step = match left.checked_sub(WARNING) {
                Some(unworried) if !unworried.is_zero() => unworried.min(LOOK),
                _ if certificate.warned => left.min(LOOK),
                _ => left.min(WARN_LOOK),
            };
            now + step
        });
        let idle = self.idle.map(|limit| self.active + limit);
        // Somebody may come to read it.
        let untold = self.stop.map(|_| now + WARN_LOOK);
        let dues = [self.host.due(), idle, expiry, untold];
        self.alarm.set(dues.into_iter().flatten().min());
    }
}

/// What the user reads some time before the certificate expires. `CR LF` because it reaches a
/// terminal in raw mode.
fn warning(left: Duration) -> String {
    let left = Duration::from_secs(left.as_secs().max(60) / 60 * 60);
    format!(
        "\r\nrproxy: client: your certificate expires in {}, this connection ends with it\r\n  hint: get a new certificate and connect again\r\n",
        format_duration(left)
    )
}

/// What the user reads when the proxy is about to stop.
fn stopping(left: Duration) -> String {
    let left = Duration::from_secs(left.as_secs().saturating_add(1));
    format!(
        "\r\nrproxy: proxy: the proxy stops, this session ends in {} at the latest\r\n  hint: finish what you do, and connect again in a moment\r\n",
        format_duration(left)
    )
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
    fn any_word_from_a_peer_starts_the_count_anew() {
        let start = Instant::now();
        let mut peer = KeepAlive::new(&LIMITS, start);
        assert_eq!(peer.check(start + seconds(30)), KeepaliveState::Ask);
        assert_eq!(peer.check(start + seconds(60)), KeepaliveState::Ask);
        peer.heard(start + seconds(61));
        assert_eq!(peer.due(), Some(start + seconds(91)));
        assert_eq!(peer.check(start + seconds(90)), KeepaliveState::Beats);
        assert_eq!(peer.check(start + seconds(91)), KeepaliveState::Ask);
    }

    #[tokio::test]
    async fn without_limits_nothing_is_ever_due() {
        let limits = TimeLimits {
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut watch = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        assert_eq!(watch.check(Instant::now() + seconds(1_000_000)), None);
    }

    #[tokio::test]
    async fn only_what_somebody_sends_or_starts_is_activity() {
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
            let mut watch = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
            watch.active -= seconds(30);
            let before = watch.active;
            watch.client_said(&[kind, 0, 0, 0, 0]);
            watch.host_said();
            assert_eq!(watch.active > before, is_activity, "{kind}");
            let end = Expired::End(EndReason::ClientIdle(seconds(60)));
            assert_eq!(watch.check(watch.active + seconds(60)), Some(end));
            assert_eq!(watch.check(watch.active + seconds(59)), None);
        }
    }

    #[tokio::test]
    async fn a_certificate_is_warned_about_until_somebody_was_there_to_read_it() {
        let limits = TimeLimits {
            ends_with_certificate: true,
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let now = Instant::now();
        let watch_at = |wall| ConnectionTimers::new(&limits, 1_000, Clock::Fixed(wall), None);
        assert_eq!(watch_at(699).check(now), None);
        let mut near = watch_at(700);
        assert_eq!(near.check(now), Some(Expired::Warn(seconds(300))));
        assert_eq!(near.check(now), Some(Expired::Warn(seconds(300))));
        near.warn(seconds(300));
        assert_eq!(near.check(now), None);
        for expired in [1_000, 2_000] {
            let end = Expired::End(EndReason::CertificateExpired);
            assert_eq!(watch_at(expired).check(now), Some(end));
        }
        let never = ConnectionTimers::new(&limits, u64::MAX, Clock::Fixed(1), None).check(now);
        assert_eq!(never, None);
    }

    #[tokio::test]
    async fn a_stop_is_told_as_soon_as_somebody_can_read_it_and_once() {
        let limits = TimeLimits {
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut watch = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        let now = Instant::now();
        watch.stops_at(now + seconds(30));
        for _ in 0..2 {
            assert_eq!(watch.check(now), Some(Expired::TellOfStop(seconds(30))));
        }
        let Expired::TellOfStop(left) = watch.due().await else {
            panic!("nothing else is due");
        };
        watch.tell_of_stop(left);
        assert_eq!(watch.check(now), None);
    }

    #[tokio::test]
    async fn the_alarm_rings_again_after_it_was_dropped_and_reset() {
        let limits = TimeLimits {
            idle: Duration::from_millis(60),
            keep_alive_interval: Duration::ZERO,
            ..LIMITS
        };
        let mut watch = ConnectionTimers::new(&limits, 0, Clock::Fixed(1), None);
        for _ in 0..5 {
            let early = tokio::time::timeout(Duration::from_millis(20), watch.due()).await;
            assert!(early.is_err());
            watch.client_said(&[number::CHANNEL_DATA]);
        }
        assert!(matches!(
            watch.due().await,
            Expired::End(EndReason::ClientIdle(_))
        ));
    }

    #[test]
    fn a_warning_counts_in_minutes() {
        for (left, text) in [
            (3, "in 1m,"),
            (60, "in 1m,"),
            (179, "in 2m,"),
            (300, "in 5m,"),
        ] {
            assert!(warning(seconds(left)).contains(text), "{left}");
        }
    }
}
