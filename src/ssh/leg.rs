//! One leg of a connection: a byte stream and the transport state machine that speaks on it.
//!
//! The only place where bytes move between a stream and a [`Transport`].

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::compute::ComputeQueue;
use super::tunnel_error::TunnelError;
use crate::wire::auth::AuthError;
use crate::wire::connection::Breach;
use crate::wire::{self, DisconnectReason, Transport, TransportEvent, Worked};

/// How much is read from a stream at a time, in bytes.
const READ_SIZE: usize = 128 * 1024;
/// The same on a leg that rests, where little comes.
const RESTING_READ: usize = 4 * 1024;
/// How long the last message may take to be sent before the stream is dropped.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many bytes of the peer are read and discarded during that time: more than can be in flight.
const MAX_DROPPED: usize = 32 * 1024 * 1024;
/// How many bytes may be held back during a key exchange: well below the transport's limit, because
/// one read from one side can become much output for the other.
const HELD_BACK: usize = 4 * 1024 * 1024;

/// How much memory the output buffer keeps once it is empty, in bytes.
const KEPT: usize = 256 * 1024;

/// Packets that are smaller than this are copied: a packet that is kept must not keep the memory of the
/// whole read that it came with.
const SMALL: usize = 16 * 1024;

/// The payload in memory that is at most a few times its size.
fn own(payload: BytesMut) -> Bytes {
    if payload.len() < SMALL {
        Bytes::copy_from_slice(&payload)
    } else {
        payload.freeze()
    }
}

/// Why a leg ended.
#[derive(Debug, Error)]
pub(crate) enum LegError {
    /// The stream broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The stream ended.
    #[error("the connection was closed")]
    Closed,
    /// The peer disconnected.
    #[error("the peer disconnected: {text}")]
    Disconnected {
        /// The reason code of RFC 4253, 11.1.
        reason: u32,
        /// The peer's text.
        text: String,
    },
    /// The transport failed.
    #[error(transparent)]
    Protocol(#[from] wire::Error),
    /// The client's authentication cannot continue. The client has got the reason.
    #[error(transparent)]
    Authentication(#[from] AuthError),
    /// The client was refused for good, and has got the reason.
    #[error("the client was refused")]
    Refused,
    /// The peer broke the connection protocol.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// The peer did not answer in time.
    #[error("no answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// The tunnel of a node has opened no stream.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
}

/// What the bytes from a peer amount to.
#[derive(Debug)]
pub(crate) enum LegEvent {
    /// Client role: this host key has to be judged.
    HostKey(Vec<u8>),
    /// The first key exchange is complete.
    Established,
    /// A packet for the layers above.
    Packet(Bytes),
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg<S> {
    pub(crate) transport: Transport,
    stream: S,
    input: BytesMut,
    /// The largest output size since the output was last empty, in bytes: that much memory is held
    /// until then.
    most: usize,
    /// How much is read at a time, in bytes.
    read_size: usize,
    /// Whether the leg has small buffers while little is sent on it.
    rests: bool,
    /// Where slow key exchanges are computed.
    workshop: Option<ComputeQueue>,
    /// The computation in progress. No input is processed meanwhile.
    work: Option<AbortOnDropHandle<Option<Worked>>>,
    started: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leg<S> {
    pub(crate) fn new(stream: S, transport: Transport) -> Self {
        Self {
            transport,
            stream,
            input: BytesMut::new(),
            most: 0,
            read_size: READ_SIZE,
            rests: false,
            workshop: None,
            work: None,
            started: Instant::now(),
        }
    }

    /// A leg whose slow key exchange steps are computed on other threads.
    pub(crate) fn with(workshop: &ComputeQueue, stream: S, mut transport: Transport) -> Self {
        transport.defer_work();
        Self {
            workshop: Some(workshop.clone()),
            ..Self::new(stream, transport)
        }
    }

    /// The stream that it speaks on.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Has small buffers from now on while little is sent: for connections that are many, and mostly idle.
    pub(crate) fn rest(&mut self) {
        self.rests = true;
        self.read_size = RESTING_READ;
    }

    /// The next event; sends queued output meanwhile. Cancel-safe: may be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<LegEvent, LegError> {
        loop {
            if let Some(event) = self.poll_event()? {
                return Ok(event);
            }
            self.transfer(true).await?;
        }
    }

    /// The next packet, in memory that its reader can overwrite if it holds a secret. Cancel-safe:
    /// may be dropped and called again.
    pub(crate) async fn next_secret(&mut self) -> Result<BytesMut, LegError> {
        loop {
            match self.poll_raw()? {
                Some(TransportEvent::Packet(payload)) => return Ok(payload),
                Some(_) => {}
                None => {
                    self.transfer(true).await?;
                }
            }
        }
    }

    /// The next event of the bytes that were read so far, if there is one.
    pub(crate) fn poll_event(&mut self) -> Result<Option<LegEvent>, LegError> {
        Ok(match self.poll_raw()? {
            Some(TransportEvent::HostKey { blob, .. }) => Some(LegEvent::HostKey(blob)),
            Some(TransportEvent::Established) => Some(LegEvent::Established),
            Some(TransportEvent::Packet(payload)) => Some(LegEvent::Packet(own(payload))),
            Some(TransportEvent::NeedInput | TransportEvent::Disconnected { .. }) | None => None,
        })
    }

    fn poll_raw(&mut self) -> Result<Option<TransportEvent>, LegError> {
        match self.transport.receive(&mut self.input)? {
            TransportEvent::NeedInput => {
                self.begin_work();
                Ok(None)
            }
            TransportEvent::Disconnected { reason, text } => {
                Err(LegError::Disconnected { reason, text })
            }
            event => Ok(Some(event)),
        }
    }

    fn begin_work(&mut self) {
        if let Some(workshop) = &self.workshop
            && let Some(work) = self.transport.take_work()
        {
            self.work = Some(workshop.compute(work));
        }
    }

    /// Ready once, when the computation is done.
    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let done = ready!(Pin::new(work).poll(context));
        self.work = None;
        // There is no result only if the proxy is about to exit.
        let worked = done.ok().flatten().ok_or(LegError::Closed)?;
        self.transport.worked(worked);
        Poll::Ready(Ok(()))
    }

    /// Moves bytes once, in every direction that is ready; returns how many were read. Cancel-safe:
    /// may be dropped and called again.
    pub(crate) async fn transfer(&mut self, read: bool) -> Result<usize, LegError> {
        poll_fn(|context| self.poll_transfer(context, read)).await
    }

    /// As [`Leg::transfer`], for a caller that waits for several things.
    pub(crate) fn poll_transfer(
        &mut self,
        context: &mut Context<'_>,
        read: bool,
    ) -> Poll<Result<usize, LegError>> {
        self.transport.tick(self.started.elapsed())?;
        if self.poll_work(context)?.is_ready() {
            return Poll::Ready(Ok(0));
        }
        // What comes while a key exchange is computed would pile up.
        let read = match read && self.work.is_none() {
            true => self.poll_read(context)?,
            false => Poll::Pending,
        };
        match self.poll_write(context) {
            // What a peer sent before it closed comes first; the failure will show again.
            Poll::Ready(Err(error)) if read.is_pending() => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if read.is_pending() => Poll::Ready(Ok(0)),
            Poll::Ready(_) | Poll::Pending => read.map(Ok),
        }
    }

    /// Sends what can be sent without waiting. An error is reported by the next transfer.
    pub(crate) async fn send_ready(&mut self) {
        poll_fn(|context| {
            let _later = self.poll_write(context);
            Poll::Ready(())
        })
        .await;
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, LegError>> {
        if self.input.capacity() - self.input.len() < self.read_size / 2 {
            self.input.reserve(self.read_size);
        }
        let read = match pin!(self.stream.read_buf(&mut self.input)).poll(context)? {
            Poll::Ready(0) => Poll::Ready(Err(LegError::Closed)),
            other => other.map(Ok),
        };
        if self.rests {
            self.fit_buffers(&read);
        }
        read
    }

    /// Reads more at a time as long as much comes, and less after that. While nothing comes, nothing is kept.
    fn fit_buffers(&mut self, read: &Poll<Result<usize, LegError>>) {
        match read {
            Poll::Ready(Ok(read)) if *read >= self.read_size / 2 => {
                self.read_size = (self.read_size * 2).min(READ_SIZE);
            }
            Poll::Ready(Ok(read)) if *read < self.read_size / 8 => {
                self.read_size = (self.read_size / 2).max(RESTING_READ);
            }
            Poll::Pending if self.read_size == RESTING_READ => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                let output = self.transport.output();
                if output.is_empty() {
                    *output = BytesMut::new();
                }
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LegError>> {
        let output = self.transport.output();
        if output.is_empty() {
            return Poll::Pending;
        }
        self.most = self.most.max(output.len());
        let written = pin!(self.stream.write_buf(&mut *output)).poll(context)?;
        if output.is_empty() {
            // Output that was large once is seldom large again.
            if self.most > KEPT {
                *output = BytesMut::new();
            }
            self.most = 0;
        }
        match written {
            Poll::Ready(0) => Poll::Ready(Err(LegError::Closed)),
            other => other.map(|_written| Ok(())),
        }
    }

    /// The memory that its buffers take up, in bytes. By doubling, they may have grown to twice that.
    pub(crate) fn held(&mut self) -> usize {
        self.most.max(self.transport.output().len())
            + self.transport.held_back()
            + self.input.len().max(self.read_size)
    }

    /// Queues packets.
    pub(crate) fn send_all(&mut self, packets: &mut Vec<Vec<u8>>) -> Result<(), LegError> {
        for packet in packets.drain(..) {
            self.transport.send(&packet)?;
        }
        Ok(())
    }

    /// Bytes that wait to be sent, held-back ones included.
    pub(crate) fn backlog(&mut self) -> usize {
        self.transport.output().len() + self.transport.held_back()
    }

    /// Whether more output may be queued for the peer. The limit is much lower during a key
    /// exchange: the transport bounds what is held back until it is done.
    pub(crate) fn has_room(&mut self, backlog: usize) -> bool {
        self.backlog() < backlog && self.transport.held_back() < HELD_BACK
    }

    /// Whether the peer reads what it is sent. One that does not is not read any further either. What a
    /// key exchange holds back does not count: the peer has to be read until the exchange is over.
    pub(crate) fn takes(&mut self, backlog: usize) -> bool {
        self.transport.output().len() < backlog
    }

    /// Tells a peer that broke the protocol so. Other peers are gone, or know why the connection ends.
    pub(crate) async fn reproach(&mut self, error: &LegError) {
        let reason = match error {
            LegError::Protocol(error) => error.disconnect_reason(),
            LegError::Breach(_) => DisconnectReason::ProtocolError,
            _ => return,
        };
        self.disconnect(reason, &format!("rproxy: {error}")).await;
    }

    /// Disconnects with a reason, and waits briefly until the message has left.
    pub(crate) async fn disconnect(&mut self, reason: DisconnectReason, text: &str) {
        self.part(reason, text, true).await;
    }

    /// As [`Leg::disconnect`], for a client that may still be sending: the stream is not shut down at
    /// once, so that the client does not get a write error before it has read the reason.
    pub(crate) async fn disconnect_once_read(&mut self, reason: DisconnectReason, text: &str) {
        self.part(reason, text, false).await;
    }

    async fn part(&mut self, reason: DisconnectReason, text: &str, shut: bool) {
        self.transport.disconnect(reason, text);
        let farewell = async {
            while !self.transport.output().is_empty() {
                self.stream.write_buf(self.transport.output()).await?;
            }
            self.stream.flush().await?;
            if shut {
                self.stream.shutdown().await?;
            }
            // What the peer still sends is read and dropped: closing a socket with unread bytes
            // resets it, which can destroy the disconnect message on its way.
            self.input.clear();
            let mut dropped = 0;
            while dropped < MAX_DROPPED {
                match self.stream.read_buf(&mut self.input).await? {
                    0 => break,
                    read => dropped += read,
                }
                self.input.clear();
            }
            Ok::<_, io::Error>(())
        };
        // The peer may be gone already.
        let _elapsed = tokio::time::timeout(FAREWELL, farewell).await;
    }
}
