//! A listener: a thread, its clients, and who has to make room for others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::WebError;
use super::connection::{self, Answers, PATIENCE, ServedConnection};
use super::slots::{ClientSlot, Places};
use super::tls::{ShownTls, Tls, TlsFiles};
use crate::sys::files::Files;

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

/// How serving ends.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Cancelled when no more clients are accepted; those that are served get their answers.
    pub closing: CancellationToken,
    /// Cancelled when clients that are served are cut off.
    pub over: CancellationToken,
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

    /// The SHA-256 of the certificate that is shown; `None` without TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.shown().fingerprint())
    }

    /// Serves on a thread of its own until the end.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub(super) fn start(
        self,
        name: &str,
        answers: impl Answers,
        ending: Ending,
    ) -> Result<JoinHandle<()>, WebError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WebError::Start)?;
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    ended = self.serve(Arc::new(answers), ending.closing) => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the web is not served any more");
                        }
                    }
                    () = ending.over.cancelled() => {}
                }
            });
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(WebError::Start)
    }

    async fn serve(self, answers: Arc<impl Answers>, closing: CancellationToken) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut tls = self.tls;
        let places = Places::new();
        let clients = TaskTracker::new();
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                () = closing.cancelled() => break,
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
            let slot = Arc::new(places.enter(address.ip()));
            let (answers, shown) = (Arc::clone(&answers), tls.as_ref().map(Tls::shown));
            let closing = closing.clone();
            clients.spawn(async move {
                let served = client(stream, address, shown, answers, &slot, closing);
                tokio::select! {
                    () = served => {}
                    () = slot.displaced() => {
                        tracing::debug!(client = %address, "a client of the web made room for others");
                    }
                }
            });
        }
        drop(listener);
        clients.close();
        clients.wait().await;
        Ok(())
    }
}

/// One client, from its first byte to its last. Its failure concerns no other client.
async fn client(
    stream: TcpStream,
    client: SocketAddr,
    shown: Option<ShownTls>,
    answers: Arc<impl Answers>,
    slot: &Arc<ClientSlot>,
    closing: CancellationToken,
) {
    // Answers are small, and wait for nothing more.
    let _without = stream.set_nodelay(true);
    match shown {
        None => {
            let info = ServedConnection::plain(client);
            connection::serve(stream, info, answers, slot, closing).await;
        }
        Some(shown) => {
            if let Ok(Ok(stream)) = timeout(PATIENCE, shown.acceptor.accept(stream)).await {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let info = ServedConnection {
                    client,
                    certificate: Some(shown.certificate),
                    is_http2,
                };
                connection::serve(stream, info, answers, slot, closing).await;
            }
        }
    }
}
