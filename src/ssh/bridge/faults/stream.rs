//! A stream in memory on which something happens at a chosen byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// No byte comes any more, or none is taken.
    Cut,
    /// The connection breaks, in both directions.
    Reset,
    /// Nothing moves for this long.
    Delay(Duration),
    /// Nothing moves any more, and no error is reported.
    Stall,
}

/// One direction.
#[derive(Debug, Default)]
pub(in super::super) struct FaultyDirection {
    moved: Arc<AtomicUsize>,
    fault: Option<(usize, Fault)>,
    pause: Option<Pin<Box<Sleep>>>,
    single: bool,
    /// Whether the last byte arrives as another.
    garbled: Arc<AtomicBool>,
}

/// What may move now.
enum Gate {
    Open(usize),
    Closed(Fault),
}

impl FaultyDirection {
    /// Something happens at this byte.
    pub(super) fn fault(&mut self, at: usize, fault: Fault) {
        self.fault = Some((at, fault));
    }

    /// A byte at a time from here on.
    pub(super) fn singly(&mut self) {
        self.single = true;
    }

    /// How many bytes have moved, also later.
    pub(super) fn moved(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.moved)
    }

    /// Once it is set, the last byte of what is read is another than was sent.
    pub(in super::super) fn garbled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.garbled)
    }

    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<Gate> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.fault = None;
        }
        let most = if self.single { 1 } else { usize::MAX };
        let Some((at, fault)) = self.fault else {
            return Poll::Ready(Gate::Open(most));
        };
        let moved = self.moved.load(Ordering::Relaxed);
        if moved < at {
            return Poll::Ready(Gate::Open(most.min(at - moved)));
        }
        match fault {
            Fault::Stall => Poll::Pending,
            Fault::Delay(span) => {
                self.pause = Some(Box::pin(sleep(span)));
                self.poll_gate(context)
            }
            Fault::Cut | Fault::Reset => Poll::Ready(Gate::Closed(fault)),
        }
    }

    fn count(&self, bytes: usize) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A stream with a fault in either direction, or none.
#[derive(Debug)]
pub(in super::super) struct Faulty {
    inner: DuplexStream,
    pub(in super::super) reading: FaultyDirection,
    pub(in super::super) writing: FaultyDirection,
    broken: bool,
}

impl Faulty {
    pub(in super::super) fn new(inner: DuplexStream) -> Self {
        Self {
            inner,
            reading: FaultyDirection::default(),
            writing: FaultyDirection::default(),
            broken: false,
        }
    }

    /// The connection is no more; the peer sees its end.
    fn reset(&mut self, context: &mut Context<'_>, kind: io::ErrorKind) -> io::Error {
        self.broken = true;
        let _at_once = Pin::new(&mut self.inner).poll_shutdown(context);
        kind.into()
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = match ready!(self.reading.poll_gate(context)) {
            Gate::Open(most) => most,
            Gate::Closed(Fault::Reset) => {
                let error = self.reset(context, io::ErrorKind::ConnectionReset);
                return Poll::Ready(Err(error));
            }
            Gate::Closed(_) => return Poll::Ready(Ok(())),
        };
        let mut bytes = vec![0; most.min(buffer.remaining())];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
        let filled = read.filled_mut();
        if let Some(last) = filled.last_mut()
            && self.reading.garbled.load(Ordering::Relaxed)
        {
            *last ^= 1;
        }
        buffer.put_slice(filled);
        self.reading.count(filled.len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = match ready!(self.writing.poll_gate(context)) {
            Gate::Open(most) => most.min(bytes.len()),
            Gate::Closed(_) => {
                let error = self.reset(context, io::ErrorKind::BrokenPipe);
                return Poll::Ready(Err(error));
            }
        };
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, &bytes[..most]))?;
        self.writing.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
