//! The listener of the web: a thread, its clients, and how long each may take.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::WebError;
use super::site::{self, Site};
use super::slots::{ClientSlot, Places};
use super::tls::{Tls, TlsFiles};
use crate::sys::files::Files;

/// How long the handshake of TLS may take, and how long a request until its headers are there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take for everything: the largest list at a few megabits a second.
const LONGEST: Duration = Duration::from_secs(120);
/// Most bytes of a request's line and headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// How often the files of the certificate are looked at.
const REFRESH: Duration = Duration::from_secs(1);
/// How long to wait after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that has its port, and its certificate where it needs one.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Server {
    /// Takes a listener. TLS files come together with the [`Files`] that opens them; without them,
    /// the server speaks plain HTTP.
    ///
    /// # Errors
    /// When the listener is none, or the files are no use.
    pub fn new(
        listener: std::net::TcpListener,
        tls: Option<(TlsFiles, Arc<dyn Files>)>,
    ) -> Result<Self, WebError> {
        let tls = tls.map(|(files, opened_by)| Tls::open(files, opened_by));
        let tls = tls.transpose()?;
        listener.set_nonblocking(true).map_err(WebError::Listen)?;
        Ok(Self {
            address: listener.local_addr().map_err(WebError::Listen)?,
            listener,
            tls,
        })
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves on a thread of its own until `shutdown`; clients that are served then are cut off.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub(super) fn start(
        self,
        name: &str,
        site: impl Site,
        shutdown: CancellationToken,
    ) -> Result<JoinHandle<()>, WebError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WebError::Start)?;
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = self.serve(Arc::new(site)) => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the web is not served any more");
                        }
                    }
                    () = shutdown.cancelled() => {}
                }
            });
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(WebError::Start)
    }

    async fn serve(self, site: Arc<impl Site>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut tls = self.tls;
        let places = Places::new();
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = refresh.tick() => {
                    if let Some(tls) = &mut tls {
                        tls.refresh();
                    }
                    continue;
                }
            };
            let (stream, address) = match accepted {
                Ok(client) => client,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client of the web");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let seat = places.enter(address.ip());
            let (site, acceptor) = (Arc::clone(&site), tls.as_ref().map(Tls::acceptor));
            tokio::spawn(async move {
                tokio::select! {
                    served = timeout(LONGEST, client(stream, address.ip(), acceptor, site, &seat)) => {
                        if served.is_err() {
                            tracing::debug!(client = %address, "a client of the web took too long");
                        }
                    }
                    () = seat.displaced() => {
                        tracing::debug!(client = %address, "a client of the web made room for others");
                    }
                }
            });
        }
    }
}

/// One client, from its first byte to its last. Its failure concerns no other client.
async fn client(
    stream: TcpStream,
    address: IpAddr,
    acceptor: Option<TlsAcceptor>,
    site: Arc<impl Site>,
    seat: &ClientSlot,
) {
    match acceptor {
        None => request(stream, address, site, seat).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                request(stream, address, site, seat).await;
            }
        }
    }
}

/// One request and its answer.
async fn request<S: Site>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    site: Arc<S>,
    seat: &ClientSlot,
) {
    let service = service_fn(|request| async {
        let method = request.method().clone();
        let path = site::logged_path::<S>(request.uri().path());
        seat.asked(site::purpose::<S>(request.uri().path()));
        let answer = site::answer(&*site, address, request).await;
        tracing::debug!(%method, path, status = answer.status().as_u16(), "asked");
        Ok::<_, std::convert::Infallible>(answer)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client of the web broke off");
    }
}
