//! The listeners: bound here, or received from the service manager or an earlier version of this
//! program.
//!
//! The monitor never reads from them. A received listener stays open as long as it is in use, so that no
//! client is refused in between.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};

use listenfd::ListenFd;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use serde::{Deserialize, Serialize};

use super::error::MonitorError;
use crate::config::Config;
use crate::ipc::ListenerKind;

/// One listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) is: ListenerRecord,
    pub(super) socket: TcpListener,
}

/// What is known about a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListenerRecord {
    #[serde(rename = "port")]
    pub(super) kind: ListenerKind,
    /// The configured address that it was bound for; `None` if the service manager has bound it and
    /// so chosen its address.
    pub(super) address: Option<SocketAddr>,
}

/// The sockets that the service manager has bound, in its order: the first is SSH's and the second
/// the web's, unless their names say otherwise (`FileDescriptorName=`).
///
/// # Errors
/// When one of them is not a listener, or there are too many.
pub(super) fn given() -> io::Result<Vec<Listener>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut listeners: Vec<Listener> = Vec::new();
    for index in 0..given.len() {
        let kind = match (names.next(), index) {
            (Some("ssh"), _) => ListenerKind::Ssh,
            (Some("web"), _) => ListenerKind::Web,
            (Some("metrics"), _) => ListenerKind::Metrics,
            (_, 0) => ListenerKind::Ssh,
            _ => ListenerKind::Web,
        };
        if listeners.iter().any(|one| one.is.kind == kind) {
            let what =
                "one each can be used for SSH, the web and the metrics, named ssh, web and metrics";
            return Err(io::Error::other(what));
        }
        let Some(socket) = given.take_tcp_listener(index)? else {
            continue;
        };
        // The socket must not be inherited by other programs.
        rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        socket.set_nonblocking(true)?;
        let is = ListenerRecord {
            kind,
            address: None,
        };
        listeners.push(Listener { is, socket });
    }
    Ok(listeners)
}

/// All listeners of a configuration.
#[derive(Debug)]
pub(super) struct Listeners(Vec<Listener>);

impl Listeners {
    /// Takes the configured listeners from `held`, and binds the rest.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub(super) async fn open(
        config: &Config,
        mut held: Vec<Listener>,
    ) -> Result<Self, MonitorError> {
        let mut listeners = Vec::new();
        for (kind, address) in wanted(config) {
            let fits = |one: &Listener| {
                one.is.kind == kind && one.is.address.is_none_or(|bound| bound == address)
            };
            let listener = match held.iter().position(fits) {
                Some(index) => held.swap_remove(index),
                None => bind(kind, address).await?,
            };
            listeners.push(listener);
        }
        for unused in held {
            tracing::info!(port = ?unused.is.kind, "a port is not listened on any more");
        }
        Ok(Self(listeners))
    }

    /// Checks whether all of them could be bound. They are bound without listening, so that two
    /// checks at the same time do not disturb each other.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn look(config: &Config) -> Result<(), MonitorError> {
        let wanted = wanted(config);
        for (index, (_, address)) in wanted.iter().enumerate() {
            let before = wanted.iter().take(index);
            let looked = match before
                .into_iter()
                .any(|(_, other)| overlap(*other, *address))
            {
                true => Err(rustix::io::Errno::ADDRINUSE.into()),
                false => is_free(*address),
            };
            looked.map_err(|error| MonitorError::Listen(*address, error))?;
        }
        Ok(())
    }

    /// Closes them.
    pub(super) fn close(&mut self) {
        self.0.clear();
    }

    /// Their descriptions, in the order of [`Self::files`].
    pub(super) fn records(&self) -> Vec<ListenerRecord> {
        self.0.iter().map(|one| one.is).collect()
    }

    /// Their kinds, for a worker.
    pub(super) fn kinds(&self) -> Vec<ListenerKind> {
        self.0.iter().map(|one| one.is.kind).collect()
    }

    /// Their file descriptors.
    pub(super) fn files(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|one| one.socket.as_fd()).collect()
    }
}

/// The addresses in a configuration, with their kinds.
fn wanted(config: &Config) -> Vec<(ListenerKind, SocketAddr)> {
    let web = config.proxy.web.as_ref().map(|web| web.listen_addr);
    let wanted = [
        (ListenerKind::Ssh, Some(config.proxy.listen_addr)),
        (ListenerKind::Web, web),
        (ListenerKind::Metrics, config.proxy.metrics_listen_addr),
    ];
    let wanted = wanted.into_iter();
    wanted
        .filter_map(|(kind, address)| Some((kind, address?)))
        .collect()
}

/// Whether a listener at one address prevents one at the other.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.ip() == other.ip()
        || (one.is_ipv4() == other.is_ipv4()
            && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    is_same && one.port() == other.port() && one.port() != 0
}

/// Whether an address could be bound.
fn is_free(address: SocketAddr) -> io::Result<()> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(rustix::net::bind(&socket, &address)?)
}

async fn bind(kind: ListenerKind, address: SocketAddr) -> Result<Listener, MonitorError> {
    let error = |error| MonitorError::Listen(address, error);
    let socket = tokio::net::TcpListener::bind(address)
        .await
        .map_err(error)?;
    Ok(Listener {
        is: ListenerRecord {
            kind,
            address: Some(address),
        },
        socket: socket.into_std().map_err(error)?,
    })
}
