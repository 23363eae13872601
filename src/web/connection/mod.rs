//! One connection of a client: the requests on it, in HTTP/1.1 or HTTP/2, and what bounds them.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::web::purpose::RequestPurpose;
use crate::web::slots::ClientSlot;

/// How long the handshake of TLS may take, and how long a request until its headers are there.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take for everything once it gets no more requests answered: the largest list at a
/// few megabits a second.
const LONGEST: Duration = Duration::from_secs(120);
/// How long a connection gets requests answered; then a client has to connect again.
const KEPT: Duration = Duration::from_secs(60);
/// How many requests it gets answered, those that were broken off among them.
const MAX_REQUESTS: usize = 1_000;
/// How long a client that has not asked for anything has, when the process ends, to be told so.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most bytes of a request's line and headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most headers of a request.
pub(super) const MAX_HEADERS: usize = 64;
/// Most requests of HTTP/2 at a time.
const MAX_STREAMS: u32 = 16;
/// Most requests of HTTP/2 that were broken off before they were looked at (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// Bytes that a client may send ahead of what is read, on one stream and on all of them.
const WINDOW: u32 = 64 * 1024;
const WINDOW_OF_ALL: u32 = 128 * 1024;

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(super) struct ServedConnection {
    /// Where it comes from.
    pub(super) client: SocketAddr,
    /// The certificate that was shown; `None` without TLS.
    pub(super) certificate: Option<Arc<CertificateDer<'static>>>,
    /// Whether HTTP/2 was agreed upon.
    pub(super) is_http2: bool,
}

impl ServedConnection {
    /// One without TLS.
    pub(super) fn plain(client: SocketAddr) -> Self {
        Self {
            client,
            certificate: None,
            is_http2: false,
        }
    }

    /// Whether it is one with TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }
}

/// What answers the requests of a listener.
pub(super) trait Answers: fmt::Debug + Send + Sync + 'static {
    /// Whether a connection can have more than one request.
    const KEEPS_ALIVE: bool;

    /// What a request for this path is for.
    fn purpose(&self, path: &str) -> RequestPurpose;

    /// The path for logs. Paths can have secrets.
    fn logged_path(&self, path: &str) -> &'static str;

    /// Answers a request, whatever it is.
    fn answer(
        &self,
        info: &ServedConnection,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// What its requests have in common.
struct Connection<A> {
    info: ServedConnection,
    answers: Arc<A>,
    slot: Arc<ClientSlot>,
    asked: AtomicUsize,
    /// Cancelled when it has had as many requests as it may have.
    full: CancellationToken,
}

/// Answers the requests of a connection until it ends.
pub(super) async fn serve<A: Answers>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    info: ServedConnection,
    answers: Arc<A>,
    slot: &Arc<ClientSlot>,
    closing: CancellationToken,
) {
    let is_http2 = info.is_http2;
    let shared = Arc::new(Connection {
        info,
        answers,
        slot: Arc::clone(slot),
        asked: AtomicUsize::new(0),
        full: CancellationToken::new(),
    });
    let of_service = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&of_service);
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let served = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_RESETS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW_OF_ALL)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PATIENCE)
            .keep_alive_timeout(PATIENCE)
            .serve_connection(stream, service);
        shared.drive(pin!(served), closing).await;
    } else {
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_BYTES)
            .max_buf_size(MAX_HEADER_BYTES)
            .keep_alive(A::KEEPS_ALIVE)
            .serve_connection(stream, service);
        shared.drive(pin!(served), closing).await;
    }
}

impl<A: Answers> Connection<A> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let (logged, purpose) = (self.answers.logged_path(path), self.answers.purpose(path));
        self.slot.asked(purpose);
        if self.asked.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_REQUESTS {
            self.full.cancel();
        }
        let method = request.method().clone();
        let answer = self
            .answers
            .answer(&self.info, request.map(Body::new))
            .await;
        let status = answer.status().as_u16();
        tracing::debug!(%method, path = logged, status, "asked");
        answer
    }

    fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > 0
    }

    /// Lets it run until it ends or has to.
    async fn drive<C>(&self, mut served: Pin<&mut C>, closing: CancellationToken)
    where
        C: GracefulConnection,
        C::Error: fmt::Display,
    {
        let silence = async {
            tokio::time::sleep(PATIENCE).await;
            if self.has_asked() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a client of the web broke off");
                }
                return;
            }
            () = silence => return,
            () = tokio::time::sleep(KEPT) => {}
            () = self.full.cancelled() => {}
            () = closing.cancelled() => {}
        }
        served.as_mut().graceful_shutdown();
        let limit = if self.has_asked() { LONGEST } else { FAREWELL };
        match timeout(limit, served).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a client of the web broke off"),
            Err(_) => {
                tracing::debug!(client = %self.info.client, "a client of the web took too long");
            }
        }
    }
}

#[cfg(test)]
mod tests;
