//! Dials hosts: the only place that knows which kind of stream leads to a host.
//!
//! All other code accepts any stream. A host that is reached in another way needs another
//! [`HostAddress`], and its stream here.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::model::HostAddress;
use crate::net;
use crate::ssh::channel::ChannelStream;
use crate::ssh::leg::LegError;
use crate::ssh::settings::CurrentSettings;
use crate::ssh::tunnels::{TunnelPatience, Tunnels};

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
        patience: TunnelPatience,
    ) -> impl Future<Output = Result<Self::Stream, LegError>> + Send;

    /// The address and port that the host's sshd sees as its client's; `None` if the proxy does not
    /// know them, as through a tunnel.
    fn egress(stream: &Self::Stream) -> Option<SocketAddr>;
}

/// Dials by TCP, from the addresses in `egress_addrs`, and through the tunnels that nodes keep open.
#[derive(Clone, Debug)]
pub(crate) struct HostDial {
    settings: CurrentSettings,
    tunnels: Tunnels,
}

impl HostDial {
    /// Uses the egress addresses of these settings, and these tunnels.
    #[must_use]
    pub(crate) fn new(settings: CurrentSettings, tunnels: Tunnels) -> Self {
        Self { settings, tunnels }
    }
}

impl Dial for HostDial {
    type Stream = HostStream;

    async fn dial(
        &self,
        address: HostAddress,
        patience: TunnelPatience,
    ) -> Result<HostStream, LegError> {
        match address {
            HostAddress::Tcp(address) => {
                let deadline = patience.deadline.min(Instant::now() + DIAL_TIMEOUT);
                let settings = self.settings.now();
                let promised = settings.egress.as_ref();
                let stream = timeout_at(deadline, net::connect(address, promised))
                    .await
                    .map_err(|_elapsed| LegError::Timeout(DIAL_TIMEOUT))??;
                // Keystrokes must not be delayed to be sent together. If the option cannot be set, only
                // latency suffers.
                stream.set_nodelay(true).ok();
                Ok(HostStream::Tcp(stream))
            }
            // A host that was restarted opens its tunnel soon: it is waited for as long as the whole way
            // to the host may take, if there is no other way.
            HostAddress::Tunnel(node) => {
                let stream = self.tunnels.dial(node, patience).await?;
                Ok(HostStream::Tunnel(stream))
            }
        }
    }

    fn egress(stream: &HostStream) -> Option<SocketAddr> {
        match stream {
            HostStream::Tcp(stream) => stream.local_addr().ok(),
            HostStream::Tunnel(_) => None,
        }
    }
}

/// The stream to a host.
#[derive(Debug)]
pub(crate) enum HostStream {
    /// By TCP.
    Tcp(TcpStream),
    /// Through the tunnel that the host keeps open.
    Tunnel(ChannelStream),
}

impl AsyncRead for HostStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tunnel(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tunnel(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
