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
use crate::ssh::timers::{CloseTimeout, KeepAlive, KeepaliveState, Timer};
use crate::wire::connection::Breach;

/// Output that may wait for the other side before the channels have to wait.
const BACKLOG: usize = 1024 * 1024;
/// How long a connection may be without a channel.
const IDLE: Duration = Duration::from_secs(10);

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
    /// Runs while only the other side keeps the connection, which counts among those that there may be until it
    /// has ended. Looked at with every question whether the other side is there.
    close_timeout: CloseTimeout,
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
            close_timeout: CloseTimeout::default(),
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
        let is_unclosed = self.endpoint.waits_for_peer();
        if self.close_timeout.has_expired(is_unclosed, now) {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::cert::testing::ed25519;
    use crate::ssh::channel::ChannelStream;
    use crate::ssh::endpoint::{Answer, OpenAnswered, OpenRequest, PendingSession};
    use crate::ssh::peers::directory::{TERMS, TUNNEL};
    use crate::wire::{ClientConfig, HostKey, ServerConfig, Transport};

    /// Hands on the streams of both sides.
    struct HandsOn(mpsc::Sender<ChannelStream>);

    impl Services for HandsOn {
        fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
            let (answered, stream) = request.accept(TERMS);
            self.0.try_send(stream).unwrap();
            Ok(answered)
        }

        fn on_request(
            &mut self,
            _session: &mut Option<PendingSession>,
            _kind: &str,
            _data: &Bytes,
        ) -> Result<Answer, Breach> {
            Ok(Answer::Failure)
        }

        fn on_global_request(&mut self, _name: &str, _data: &Bytes) -> Result<Answer, Breach> {
            Ok(Answer::Failure)
        }

        fn on_opened(&mut self, _number: u32, stream: ChannelStream) {
            self.0.try_send(stream).unwrap();
        }

        fn on_not_opened(&mut self, _number: u32, _text: &Bytes) {}
    }

    async fn established(mut leg: Leg<DuplexStream>) -> Leg<DuplexStream> {
        loop {
            match leg.next().await.unwrap() {
                LegEvent::HostKey(_) => leg.transport.accept_host_key().unwrap(),
                LegEvent::Established => break,
                LegEvent::Packet(_) => {}
            }
        }
        // This side knows first: the other one waits for the message that is queued.
        leg.send_ready().await;
        leg
    }

    /// Both sides of a connection whose keys are exchanged.
    async fn legs() -> (Leg<DuplexStream>, Leg<DuplexStream>) {
        let (near, far) = duplex(1 << 20);
        let key = HostKey::new(ed25519(), None).unwrap();
        let server = Transport::server(Arc::new(ServerConfig::new(vec![key])));
        let client = Transport::client(Arc::<ClientConfig>::default());
        tokio::join!(
            established(Leg::new(near, client)),
            established(Leg::new(far, server))
        )
    }

    /// A connection with one channel, each side on a task of its own.
    struct Connected {
        /// The stream of the side that has opened the channel.
        stream: ChannelStream,
        /// How that side ends.
        ended: JoinHandle<LinkError>,
        /// The stream of the other side.
        far: ChannelStream,
        /// Stops the other side where it is.
        stop: oneshot::Sender<()>,
        /// The other side after that, whose end of the connection is open.
        stopped: JoinHandle<Link<DuplexStream>>,
    }

    /// With bytes that have crossed.
    async fn connected() -> Connected {
        let (client, server) = legs().await;
        let (mut near, mut far) = (Link::new(client, None), Link::new(server, None));
        near.endpoint.open_with(0, TUNNEL, Bytes::new(), TERMS);
        let (opens, mut opened) = mpsc::channel(1);
        let (takes, mut taken) = mpsc::channel(1);
        let ended = tokio::spawn(async move {
            let ended = near.run(&mut HandsOn(opens)).await;
            near.hang_up();
            ended.unwrap_err()
        });
        let (stop, stopping) = oneshot::channel();
        let stopped = tokio::spawn(async move {
            let mut services = HandsOn(takes);
            tokio::select! {
                ended = far.run(&mut services) => panic!("{ended:?}"),
                stopped = stopping => stopped.unwrap(),
            }
            far
        });
        let mut stream = opened.recv().await.unwrap();
        let mut far = taken.recv().await.unwrap();
        stream.write_all(b"SSH-2.0").await.unwrap();
        let mut bytes = [0; 7];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"SSH-2.0");
        Connected {
            stream,
            ended,
            far,
            stop,
            stopped,
        }
    }

    /// Its machine is gone, or its process is stopped, and nothing says so.
    #[tokio::test(start_paused = true)]
    async fn another_proxy_that_falls_silent_is_given_up_and_its_streams_end() {
        let mut connected = connected().await;
        connected.stop.send(()).unwrap();
        let _open = connected.stopped.await.unwrap();
        let began = Instant::now();
        let ended = connected.ended.await.unwrap();
        let limit = LIMITS.keep_alive_interval * (LIMITS.keep_alive_count_max + 1);
        assert!(
            matches!(ended, LinkError::Lost(silence) if silence >= limit),
            "{ended:?}"
        );
        assert!(began.elapsed() <= limit, "{:?}", began.elapsed());
        assert_eq!(connected.stream.read(&mut [0; 8]).await.unwrap(), 0);
    }

    /// One that answers is not given up, however little crosses.
    #[tokio::test(start_paused = true)]
    async fn another_proxy_that_answers_may_say_nothing_else_for_long() {
        let mut connected = connected().await;
        tokio::time::sleep(LIMITS.keep_alive_interval * 100).await;
        assert!(!connected.ended.is_finished());
        connected.stream.write_all(b"still here").await.unwrap();
        let mut bytes = [0; 10];
        connected.far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"still here");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_connection_is_the_end_of_its_streams() {
        let mut connected = connected().await;
        connected.stop.send(()).unwrap();
        drop(connected.stopped.await.unwrap());
        let ended = connected.ended.await.unwrap();
        assert!(
            matches!(ended, LinkError::Leg(LegError::Closed)),
            "{ended:?}"
        );
        assert_eq!(connected.stream.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_channel_ends() {
        let (_open, server) = legs().await;
        let mut link = Link::new(server, None);
        let (takes, _taken) = mpsc::channel(1);
        let began = Instant::now();
        let ended = link.run(&mut HandsOn(takes)).await;
        assert!(matches!(ended, Err(LinkError::Idle)), "{ended:?}");
        assert_eq!(began.elapsed(), IDLE);
    }
}
