//! Dials hosts: the only place that knows which kind of stream leads to a host.
//!
//! All other code accepts any stream. A host that is reached in another way, such as by a tunnel that
//! it keeps open, needs another [`Dial`] here, and its own kind of address as the key in the queue and
//! in the known hosts.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::model::HostAddress;
use crate::net;
use crate::ssh::leg::LegError;
use crate::ssh::settings::CurrentSettings;

/// How long one address may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A way to hosts.
pub(crate) trait Dial: std::fmt::Debug + Send + Sync + 'static {
    /// The stream to a host.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug + 'static;

    /// Dials an address, at most until the deadline.
    fn dial(
        &self,
        address: HostAddress,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Stream, LegError>> + Send;

    /// The address and port that the host's sshd sees as its client's; `None` if the proxy does not
    /// know them, as through a tunnel.
    fn egress(stream: &Self::Stream) -> Option<SocketAddr>;
}

/// Dials by TCP, from the addresses in `egress_addrs`.
#[derive(Clone, Debug)]
pub(crate) struct TcpDial {
    settings: CurrentSettings,
}

impl TcpDial {
    /// Uses the egress addresses of these settings.
    #[must_use]
    pub(crate) fn new(settings: CurrentSettings) -> Self {
        Self { settings }
    }
}

impl Dial for TcpDial {
    type Stream = TcpStream;

    async fn dial(&self, address: HostAddress, deadline: Instant) -> Result<TcpStream, LegError> {
        // No route leads through a tunnel to a dialler that has none.
        let address = address.socket();
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        let deadline = deadline.min(Instant::now() + DIAL_TIMEOUT);
        let settings = self.settings.now();
        let promised = settings.egress.as_ref();
        let stream = timeout_at(deadline, net::connect(address, promised))
            .await
            .map_err(|_elapsed| LegError::Timeout(DIAL_TIMEOUT))??;
        // Keystrokes must not be delayed to be sent together. If the option cannot be set, only
        // latency suffers.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    fn egress(stream: &TcpStream) -> Option<SocketAddr> {
        stream.local_addr().ok()
    }
}
