//! A leg with channels that the proxy serves: bytes move in turns, so that everything else that its
//! connection waits for has its turn too. What that is, and when the connection ends, its driver says.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Share;
use super::channel::WINDOW;
use super::endpoint::{ChannelRoom, Endpoint, KeepLimits, LegOutlet, Services};
use super::leg::{Leg, LegError, LegEvent};
use super::timers::{KeepAlive, KeepaliveState, TimeLimits, Timer};
use crate::wire::connection::Breach;

/// Output that may wait for the peer before channels have to wait, unless the budget is used up.
const BACKLOG: usize = 1024 * 1024;
/// Bytes after which everything else has its turn: what is read is taken on while it is still in the
/// processor's cache, and does not pile up to the size of a window.
const TURN: usize = 64 * 1024;
/// What sending counts for in a turn.
const SENT: usize = 4 * 1024;

/// What a served leg has waited for.
#[derive(Debug)]
pub(crate) enum Awaited<T> {
    /// There may be something to move.
    Bytes,
    /// It is time to look at the clock.
    Time,
    /// What the driver waits for.
    Other(T),
}

/// A leg, and the channels on it.
#[derive(Debug)]
pub(crate) struct ServedLeg<S> {
    pub(crate) leg: Leg<S>,
    pub(crate) endpoint: Endpoint,
    /// What is held for this connection.
    share: Share,
    wake: Arc<Notify>,
    keep_alive: KeepAlive,
    timer: Timer,
    /// Since when there is no channel.
    idle_since: Instant,
    /// Bytes read since everything else had its turn.
    since_turn: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServedLeg<S> {
    /// A connection without channels, whose peer is asked whether it is there as `limits` say.
    pub(crate) fn new(leg: Leg<S>, share: Share, limits: &TimeLimits) -> Self {
        let now = Instant::now();
        let wake = Arc::new(Notify::new());
        Self {
            leg,
            endpoint: Endpoint::new(Arc::clone(&wake), KeepLimits::NOTHING),
            share,
            wake,
            keep_alive: KeepAlive::new(limits, now),
            timer: Timer::new(Some(now)),
            idle_since: now,
            since_turn: 0,
        }
    }

    /// Takes what was read and sends what there is, until nothing moves or everything else has its turn. Not
    /// cancel-safe.
    ///
    /// # Errors
    /// Those of the leg, and what the peer has broken.
    pub(crate) async fn advance<E>(&mut self, services: &mut impl Services) -> Result<(), E>
    where
        E: From<LegError> + From<Breach>,
    {
        loop {
            let backlog = self.backlog();
            while self.leg.has_room(backlog)
                && let Some(event) = self.leg.poll_event()?
            {
                if let LegEvent::Packet(payload) = event {
                    self.keep_alive.heard(Instant::now());
                    self.endpoint.on_packet(&payload, services)?;
                    self.send_answers()?;
                }
            }
            self.pump()?;
            self.leg.send_ready().await;
            // Under load, everything else is checked once per `TURN`: each check costs time.
            if self.since_turn >= TURN {
                tokio::task::yield_now().await;
                self.pump()?;
                break;
            }
            // Replies are not limited by windows, so a peer that does not read its replies is not read
            // either.
            let read = self.leg.has_room(backlog);
            let moved = poll_fn(|context| Poll::Ready(self.leg.poll_transfer(context, read)));
            match moved.await {
                Poll::Ready(bytes) => self.since_turn += bytes?.max(SENT),
                Poll::Pending => break,
            }
        }
        self.since_turn = 0;
        Ok(())
    }

    /// Waits until there is something to do. What the driver waits for comes before bytes. Cancel-safe if
    /// `other` is.
    ///
    /// # Errors
    /// Those of the leg.
    pub(crate) async fn wait<T>(
        &mut self,
        other: impl Future<Output = T>,
    ) -> Result<Awaited<T>, LegError> {
        let backlog = self.backlog();
        let read = self.leg.has_room(backlog);
        tokio::select! {
            biased;
            () = self.wake.notified() => Ok(Awaited::Bytes),
            () = self.timer.ring() => Ok(Awaited::Time),
            other = other => Ok(Awaited::Other(other)),
            bytes = self.leg.transfer(read) => {
                self.since_turn = bytes?;
                Ok(Awaited::Bytes)
            }
        }
    }

    /// Asks the peer whether it is still there, if that is due. If it has not answered for too long, that
    /// time is returned.
    ///
    /// # Errors
    /// Those of the leg.
    pub(crate) fn check_peer(&mut self, now: Instant) -> Result<Option<Duration>, LegError> {
        match self.keep_alive.check(now) {
            KeepaliveState::Beats => Ok(None),
            KeepaliveState::Ask => {
                self.endpoint.ask();
                self.send_answers()?;
                Ok(None)
            }
            KeepaliveState::Lost(silence) => Ok(Some(silence)),
        }
    }

    /// Since when there is no channel; `now` if there is one.
    pub(crate) fn idle_since(&mut self, now: Instant) -> Instant {
        if !self.endpoint.is_empty() {
            self.idle_since = now;
        }
        self.idle_since
    }

    /// The clock is looked at again at the first of these moments, or earlier.
    pub(crate) fn look_again(&mut self, at: impl IntoIterator<Item = Option<Instant>>) {
        let due = at.into_iter().chain([self.keep_alive.due()]);
        self.timer.set(due.flatten().min());
    }

    /// Sends what was answered.
    ///
    /// # Errors
    /// Those of the leg.
    pub(crate) fn send_answers(&mut self) -> Result<(), LegError> {
        let mut outlet = LegOutlet::new(&mut self.leg, usize::MAX);
        self.endpoint.send_answers(&mut outlet)
    }

    /// What the peer may send on a channel before it is read, in bytes.
    pub(crate) fn window(&self) -> u32 {
        let window = self.share.room(WINDOW as usize);
        u32::try_from(window).unwrap_or(WINDOW)
    }

    fn backlog(&self) -> usize {
        self.share.room(2 * BACKLOG)
    }

    /// Sends what the channels have, as far as the peer takes it.
    fn pump(&mut self) -> Result<(), LegError> {
        let room = ChannelRoom {
            window: self.window(),
            output: self.share.room(usize::MAX),
        };
        let mut outlet = LegOutlet::new(&mut self.leg, self.share.room(BACKLOG));
        let pumped = self.endpoint.pump(&mut outlet, room)?;
        self.share.hold(pumped.held + self.leg.held());
        if pumped.closed > 0 {
            self.idle_since = Instant::now();
        }
        Ok(())
    }
}
