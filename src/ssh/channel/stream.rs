//! A channel of a connection that ends in the proxy, as a byte stream.
//!
//! Two sides share it: the code that uses the channel ([`ChannelStream`], [`ChannelHandle`]) and the
//! connection's driver ([`ChannelPort`]). Received data is copied, and the window grows only as data is read,
//! so a slow reader holds at most one window, whatever the size of the packets.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How many bytes may wait to be sent before a writer has to wait.
const OUTBOUND_LIMIT: usize = 256 * 1024;
/// How many bytes of buffer an empty channel keeps.
const KEPT: usize = 64 * 1024;
/// How many bytes of stderr text are kept until they are sent; the rest is cut off.
pub(crate) const STDERR_LIMIT: usize = 16 * 1024;

#[derive(Debug)]
struct StreamState {
    inbound: BytesMut,
    inbound_eof: bool,
    outbound: BytesMut,
    /// How many bytes may wait to be sent before a writer has to wait.
    outbound_limit: usize,
    outbound_eof: bool,
    stderr: BytesMut,
    exit_status: Option<u32>,
    /// The channel's user has dropped the stream.
    finished: bool,
    /// The peer has closed it, or the connection is gone.
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Waits until the channel is gone.
    watcher: Option<Waker>,
}

impl Default for StreamState {
    fn default() -> Self {
        Self {
            inbound: BytesMut::new(),
            inbound_eof: false,
            outbound: BytesMut::new(),
            outbound_limit: OUTBOUND_LIMIT,
            outbound_eof: false,
            stderr: BytesMut::new(),
            exit_status: None,
            finished: false,
            gone: false,
            reader: None,
            writer: None,
            watcher: None,
        }
    }
}

#[derive(Debug)]
struct SharedStream {
    state: Mutex<StreamState>,
    driver: Arc<Notify>,
}

impl SharedStream {
    /// A panic in another thread cannot leave the state half changed: no method calls other code
    /// while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a channel's two sides. The driver is woken through `driver`.
pub(crate) fn channel(driver: Arc<Notify>) -> (ChannelStream, ChannelPort) {
    let shared = Arc::new(SharedStream {
        state: Mutex::default(),
        driver,
    });
    (
        ChannelStream {
            shared: Arc::clone(&shared),
        },
        ChannelPort { shared },
    )
}

/// The byte stream. Dropping it closes the channel.
#[derive(Debug)]
pub(crate) struct ChannelStream {
    shared: Arc<SharedStream>,
}

impl ChannelStream {
    /// A handle for stderr and the exit status.
    pub(crate) fn handle(&self) -> ChannelHandle {
        ChannelHandle {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.finished = true;
        // The stream is dropped, so this is not read any more.
        state.inbound = BytesMut::new();
        drop(state);
        self.shared.driver.notify_one();
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        if state.inbound.is_empty() {
            if state.inbound_eof || state.gone {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = state.inbound.len().min(buffer.remaining());
        buffer.put_slice(state.inbound.get(..length).unwrap_or_default());
        state.inbound.advance(length);
        if state.inbound.is_empty() && state.inbound.capacity() > KEPT {
            state.inbound = BytesMut::new();
        }
        drop(state);
        self.shared.driver.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        if state.gone || state.outbound_eof {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = state
            .outbound_limit
            .saturating_sub(state.outbound.len())
            .min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        state
            .outbound
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        drop(state);
        self.shared.driver.notify_one();
        Poll::Ready(Ok(room))
    }

    /// Ready once everything was handed to the connection, so that the last bytes are not lost.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        if state.outbound.is_empty() || state.gone {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().outbound_eof = true;
        self.shared.driver.notify_one();
        Poll::Ready(Ok(()))
    }
}

/// Writes to a channel beside its byte stream.
#[derive(Clone, Debug)]
pub(crate) struct ChannelHandle {
    shared: Arc<SharedStream>,
}

impl ChannelHandle {
    /// Text for the user's terminal (extended data of type stderr).
    pub(crate) fn stderr(&self, text: &str) {
        let mut state = self.shared.lock();
        let room = STDERR_LIMIT
            .saturating_sub(state.stderr.len())
            .min(text.len());
        state
            .stderr
            .extend_from_slice(text.as_bytes().get(..room).unwrap_or_default());
        drop(state);
        self.shared.driver.notify_one();
    }

    /// Waits until the peer has closed the channel, or the connection is gone. One task may wait. Cancel-safe.
    pub(crate) async fn hung_up(&self) {
        std::future::poll_fn(|context| {
            let mut state = self.shared.lock();
            if state.gone {
                return Poll::Ready(());
            }
            state.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Sets the exit status that the client's ssh returns.
    pub(crate) fn exit_status(&self, status: u32) {
        self.shared.lock().exit_status = Some(status);
        self.shared.driver.notify_one();
    }
}

/// The state of a channel, for its driver.
#[derive(Debug)]
pub(crate) struct Pending {
    /// How many received bytes are not read yet.
    pub(crate) unread: usize,
    /// The channel's user is done: close the channel once the rest is sent.
    pub(crate) finished: bool,
}

/// A piece of output.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Channel data.
    Data(Bytes),
    /// Extended data of type stderr.
    Stderr(Bytes),
}

/// The driver's side of a channel.
#[derive(Debug)]
pub(crate) struct ChannelPort {
    shared: Arc<SharedStream>,
}

impl ChannelPort {
    /// Data from the peer; the driver has checked it against the window.
    pub(crate) fn deliver(&self, data: &[u8]) {
        let mut state = self.shared.lock();
        if state.finished {
            return;
        }
        state.inbound.extend_from_slice(data);
        wake(&mut state.reader);
    }

    /// The peer will send no more.
    pub(crate) fn deliver_eof(&self) {
        let mut state = self.shared.lock();
        state.inbound_eof = true;
        wake(&mut state.reader);
    }

    /// The peer has closed the channel, or the connection is gone.
    pub(crate) fn hang_up(&self) {
        let mut state = self.shared.lock();
        state.gone = true;
        wake(&mut state.reader);
        wake(&mut state.writer);
        wake(&mut state.watcher);
    }

    /// What the driver has to do for this channel beside its output.
    pub(crate) fn pending(&self) -> Pending {
        let state = self.shared.lock();
        Pending {
            unread: state.inbound.len(),
            finished: state.finished,
        }
    }

    /// The memory of its buffers, in bytes, if at most `limit` bytes of output may wait.
    pub(crate) fn held(&self, limit: usize) -> usize {
        let mut state = self.shared.lock();
        let limit = limit.min(OUTBOUND_LIMIT);
        let has_grown = limit > state.outbound_limit;
        state.outbound_limit = limit;
        if has_grown {
            wake(&mut state.writer);
        }
        state.inbound.capacity() + state.outbound.capacity() + state.stderr.capacity()
    }

    /// The next piece of output, at most `limit` bytes. Stderr comes first, because it explains the
    /// rest.
    pub(crate) fn next_piece(&self, limit: usize) -> Option<Piece> {
        let mut state = self.shared.lock();
        if limit == 0 {
            return None;
        }
        if !state.stderr.is_empty() {
            let length = limit.min(state.stderr.len());
            return Some(Piece::Stderr(state.stderr.split_to(length).freeze()));
        }
        if state.outbound.is_empty() {
            return None;
        }
        let length = limit.min(state.outbound.len());
        let piece = state.outbound.split_to(length).freeze();
        wake(&mut state.writer);
        Some(Piece::Data(piece))
    }

    /// Whether all output was taken and no more will follow: then EOF is due.
    pub(crate) fn output_ended(&self) -> bool {
        let state = self.shared.lock();
        (state.outbound_eof || state.finished)
            && state.outbound.is_empty()
            && state.stderr.is_empty()
    }

    /// The exit status; returned once.
    pub(crate) fn take_exit_status(&self) -> Option<u32> {
        self.shared.lock().exit_status.take()
    }
}

impl Drop for ChannelPort {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (ChannelStream, ChannelPort) {
        channel(Arc::new(Notify::new()))
    }

    #[tokio::test]
    async fn what_is_delivered_is_read_and_then_granted() {
        let (mut stream, port) = pair();
        port.deliver(b"abc");
        port.deliver(b"def");
        assert_eq!(port.pending().unread, 6);
        port.deliver_eof();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "abcdef");
        assert_eq!(port.pending().unread, 0);
    }

    #[tokio::test]
    async fn what_waits_takes_up_no_more_than_twice_its_bytes() {
        let (mut stream, port) = pair();
        // Each byte came in a read of its own.
        for _ in 0..10_000 {
            let read = Bytes::from(vec![7; 128 * 1024]);
            port.deliver(&read.slice(..1));
        }
        let capacity = || port.held(OUTBOUND_LIMIT);
        assert!(capacity() <= 20_000, "{}", capacity());
        port.deliver(&vec![7; 1024 * 1024]);
        let mut all = vec![0; 10_000 + 1024 * 1024];
        stream.read_exact(&mut all).await.unwrap();
        assert!(capacity() <= KEPT, "{}", capacity());
    }

    #[tokio::test]
    async fn a_writer_waits_for_the_driver() {
        let (mut stream, port) = pair();
        let big = vec![7u8; OUTBOUND_LIMIT + 1];
        let writer = tokio::spawn(async move {
            stream.write_all(&big).await.unwrap();
            stream.flush().await.unwrap();
        });
        let mut taken = 0;
        while taken <= OUTBOUND_LIMIT {
            match port.next_piece(32 * 1024) {
                Some(Piece::Data(data)) => taken += data.len(),
                Some(Piece::Stderr(_)) => unreachable!(),
                None => tokio::task::yield_now().await,
            }
        }
        writer.await.unwrap();
        assert!(port.output_ended());
    }

    #[tokio::test]
    async fn a_limit_that_is_lowered_and_lifted_holds_and_wakes_the_writer() {
        let (mut stream, port) = pair();
        port.held(1000);
        let writer = tokio::spawn(async move { stream.write_all(&[7; 1500]).await });
        while port.shared.lock().writer.is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(port.shared.lock().outbound.len(), 1000);
        port.held(usize::MAX);
        writer.await.unwrap().unwrap();
        assert_eq!(port.shared.lock().outbound_limit, OUTBOUND_LIMIT);
    }

    #[test]
    fn what_nobody_will_read_takes_up_nothing() {
        let (stream, port) = pair();
        port.deliver(&[7; 100_000]);
        drop(stream);
        assert_eq!(port.held(OUTBOUND_LIMIT), 0);
        port.deliver(&[7; 100_000]);
        assert_eq!(port.held(OUTBOUND_LIMIT), 0);
    }

    #[tokio::test]
    async fn a_closed_channel_ends_reads_and_writes() {
        let (mut stream, port) = pair();
        drop(port);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(stream.write_all(b"x").await.is_err());
    }

    #[test]
    fn stderr_text_comes_first_and_is_bounded() {
        let (stream, port) = pair();
        stream.handle().stderr(&"e".repeat(STDERR_LIMIT + 100));
        let mut length = 0;
        while let Some(Piece::Stderr(text)) = port.next_piece(1000) {
            length += text.len();
        }
        assert_eq!(length, STDERR_LIMIT);
    }
}
