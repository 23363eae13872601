//! How a host is dialled: the one place that knows what kind of stream leads there.
//!
//! Everything above takes any stream. A host that is reached another way, as by a tunnel that it keeps
//! open, needs another [`Dial`] here, and an address of its own kind as the key of what is queued and
//! remembered for hosts.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::net;
use crate::ssh::leg::LegError;
use crate::ssh::settings::CurrentSettings;

/// How long one address may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A way to hosts.
pub(crate) trait Dial: std::fmt::Debug + Send + Sync + 'static {
    /// What leads to a host.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug + 'static;

    /// Dials an address, until the deadline at the latest.
    fn dial(
        &self,
        address: SocketAddr,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Stream, LegError>> + Send;
}

/// Dials by TCP, from the addresses that `egress_addrs` promises.
#[derive(Clone, Debug)]
pub(crate) struct TcpDial {
    settings: CurrentSettings,
}

impl TcpDial {
    /// With the egress addresses of these settings.
    #[must_use]
    pub(crate) fn new(settings: CurrentSettings) -> Self {
        Self { settings }
    }
}

impl Dial for TcpDial {
    type Stream = TcpStream;

    async fn dial(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, LegError> {
        let deadline = deadline.min(Instant::now() + DIAL_TIMEOUT);
        let settings = self.settings.now();
        let promised = settings.egress.as_ref();
        let stream = timeout_at(deadline, net::connect(address, promised))
            .await
            .map_err(|_elapsed| LegError::Timeout(DIAL_TIMEOUT))??;
        // Keystrokes must not wait for each other; a failure costs speed only.
        stream.set_nodelay(true).ok();
        Ok(stream)
    }
}
