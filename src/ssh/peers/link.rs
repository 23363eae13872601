//! The driver of a connection between two proxies: the leg, its channels, and whether the other side is
//! still there.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::directory::LIMITS;
use crate::model::format_duration;
use crate::ssh::budget::Share;
use crate::ssh::channel::WINDOW;
use crate::ssh::endpoint::{ChannelRoom, Endpoint, KeepLimits, LegOutlet, Services};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::timers::{KeepAlive, KeepaliveState, Timer};
use crate::wire::connection::Breach;

/// Output that may wait for the other side before the channels have to wait.
const BACKLOG: usize = 1024 * 1024;
/// How long a connection may be without a channel.
const IDLE: Duration = Duration::from_secs(10);

/// How long the other side may take to read what was said last, and to close the channels: a connection counts
/// among those that there may be until then. It is looked at with every question whether it is there.
const CLOSING: Duration = Duration::from_secs(10);

/// Why a connection between two proxies ended early.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    /// The connection broke or was closed, or the other side left.
    #[error(transparent)]
    Leg(#[from] LegError),
    /// The other side broke the protocol.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// The other side does not answer any more.
    #[error("the other proxy has not answered for {}", format_duration(*.0))]
    Lost(Duration),
    /// It does not close its channels.
    #[error("the other proxy does not close a stream that is over")]
    Unclosed,
    /// No channel was opened.
    #[error("no channel was opened within {} seconds", IDLE.as_secs())]
    Idle,
}

/// A connection whose two sides have authenticated each other.
#[derive(Debug)]
pub(super) struct Link<S> {
    leg: Leg<S>,
    pub(super) endpoint: Endpoint,
    wake: Arc<Notify>,
    keep_alive: KeepAlive,
    timer: Timer,
    /// What is held for this connection, where it counts for somebody.
    share: Option<Share>,
    /// Until when there has to be a channel.
    idle_until: Option<Instant>,
    /// Since when only the other side keeps the connection.
    unclosed_since: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A connection without channels.
    pub(super) fn new(leg: Leg<S>, share: Option<Share>) -> Self {
        let now = Instant::now();
        let wake = Arc::new(Notify::new());
        Self {
            leg,
            endpoint: Endpoint::new(Arc::clone(&wake), KeepLimits::NOTHING),
            wake,
            keep_alive: KeepAlive::new(&LIMITS, now),
            timer: Timer::new(Some(now)),
            share,
            idle_until: Some(now + IDLE),
            unclosed_since: None,
        }
    }

    /// Runs until there was a channel and all are closed. Not cancel-safe: it is not called again then.
    ///
    /// # Errors
    /// Why the connection ended before that.
    pub(super) async fn run(&mut self, services: &mut impl Services) -> Result<(), LinkError> {
        let mut had_channel = !self.endpoint.is_empty();
        loop {
            while self.leg.has_room(BACKLOG)
                && let Some(event) = self.leg.poll_event()?
            {
                if let LegEvent::Packet(payload) = event {
                    self.keep_alive.heard(Instant::now());
                    self.endpoint.on_packet(&payload, services)?;
                    had_channel |= !self.endpoint.is_empty();
                }
            }
            self.pump()?;
            if had_channel {
                self.idle_until = None;
                if self.endpoint.is_empty() {
                    self.leg.send_ready().await;
                    return Ok(());
                }
            }
            self.leg.send_ready().await;
            let read = self.leg.has_room(BACKLOG);
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = self.timer.ring() => self.on_time()?,
                moved = self.leg.transfer(read) => {
                    let _bytes = moved?;
                }
            }
        }
    }

    /// The connection is over; the streams of its channels end.
    pub(super) fn hang_up(&mut self) -> &mut Leg<S> {
        self.endpoint.hang_up();
        &mut self.leg
    }

    fn on_time(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        match self.keep_alive.check(now) {
            KeepaliveState::Beats => {}
            KeepaliveState::Ask => self.endpoint.ask(),
            KeepaliveState::Lost(silence) => return Err(LinkError::Lost(silence)),
        }
        if self.idle_until.is_some_and(|until| until <= now) {
            return Err(LinkError::Idle);
        }
        self.unclosed_since = match self.endpoint.waits_for_peer() {
            true => self.unclosed_since.or(Some(now)),
            false => None,
        };
        if self
            .unclosed_since
            .is_some_and(|since| since + CLOSING <= now)
        {
            return Err(LinkError::Unclosed);
        }
        let due = [self.keep_alive.due(), self.idle_until];
        self.timer.set(due.into_iter().flatten().min());
        Ok(())
    }

    fn pump(&mut self) -> Result<(), LinkError> {
        let share = self.share.as_ref();
        let room = |usual: usize| share.map_or(usual, |share| share.room(usual));
        let window = u32::try_from(room(WINDOW as usize)).unwrap_or(WINDOW);
        let (output, backlog) = (room(usize::MAX), room(BACKLOG));
        let mut outlet = LegOutlet::new(&mut self.leg, backlog);
        let pumped = self
            .endpoint
            .pump(&mut outlet, ChannelRoom { window, output })?;
        let held = pumped.held + self.leg.held();
        if let Some(share) = &mut self.share {
            share.hold(held);
        }
        Ok(())
    }
}
