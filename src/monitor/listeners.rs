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
use super::processes::ProcessKind;
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
        let kind = kind_of(names.next(), index);
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

/// The kind of the socket that the service manager passes at this index, under this name.
fn kind_of(name: Option<&str>, index: usize) -> ListenerKind {
    match (name, index) {
        (Some("ssh"), _) => ListenerKind::Ssh,
        (Some("web"), _) => ListenerKind::Web,
        (Some("metrics"), _) => ListenerKind::Metrics,
        (_, 0) => ListenerKind::Ssh,
        _ => ListenerKind::Web,
    }
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

    /// Those of a process of this kind, and their file descriptors.
    pub(super) fn of(&self, kind: &ProcessKind) -> (Vec<ListenerKind>, Vec<BorrowedFd<'_>>) {
        let its = self.0.iter();
        let its = its.filter(|one| kind.listeners.contains(&one.is.kind));
        its.map(|one| (one.is.kind, one.socket.as_fd())).unzip()
    }

    /// Where those are that a process of this kind does not have.
    pub(super) fn without(&self, kind: &ProcessKind) -> Vec<SocketAddr> {
        let others = self.0.iter();
        let others = others.filter(|one| !kind.listeners.contains(&one.is.kind));
        others
            .filter_map(|one| one.socket.local_addr().ok())
            .collect()
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::path::Path;

    use super::*;
    use crate::monitor::processes::{AUTH, WEB, WORKER};

    fn config(ssh: SocketAddr, web: Option<SocketAddr>) -> Config {
        let mut text = format!("cluster_name: x\nproxy_service:\n  listen_addr: {ssh}\n");
        if let Some(web) = web {
            text.push_str(&format!("  metrics_listen_addr: {web}\n"));
        }
        let loaded = crate::config::parse(Path::new("f"), &text, Some(Path::new("/data")));
        loaded.unwrap().config
    }

    /// A free port of the loopback address.
    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    /// A listener that was bound before, for this configured address.
    fn held(kind: ListenerKind, address: Option<SocketAddr>) -> (Listener, SocketAddr) {
        let socket = TcpListener::bind(any()).unwrap();
        let at = socket.local_addr().unwrap();
        let is = ListenerRecord { kind, address };
        (Listener { is, socket }, at)
    }

    fn addresses(listeners: &Listeners) -> Vec<SocketAddr> {
        let sockets = listeners.0.iter();
        sockets
            .map(|one| one.socket.local_addr().unwrap())
            .collect()
    }

    #[test]
    fn a_socket_of_the_service_manager_is_what_its_name_says_or_its_place() {
        use ListenerKind::{Metrics, Ssh, Web};
        for (name, index, kind) in [
            (Some("web"), 0, Web),
            (Some("ssh"), 1, Ssh),
            (Some("metrics"), 0, Metrics),
            (Some("rproxy.socket"), 0, Ssh),
            (Some("rproxy.socket"), 1, Web),
            (Some(""), 0, Ssh),
            (None, 0, Ssh),
            (None, 1, Web),
        ] {
            assert_eq!(kind_of(name, index), kind, "{name:?} {index}");
        }
    }

    /// The other sockets are closed: no client waits at a port that is not served.
    #[tokio::test]
    async fn a_socket_that_fits_stays_and_the_rest_is_bound_or_closed() {
        let (ssh, web) = (any(), any());
        let elsewhere = "127.0.0.1:7".parse().unwrap();
        let (given, given_at) = held(ListenerKind::Ssh, None);
        let (moved, moved_at) = held(ListenerKind::Metrics, Some(elsewhere));
        let (unused, unused_at) = held(ListenerKind::Web, None);
        let config = config(ssh, Some(web));
        let listeners = Listeners::open(&config, vec![moved, unused, given]).await;
        let mut listeners = listeners.unwrap();
        let [first, second] = addresses(&listeners)[..] else {
            panic!("{listeners:?}")
        };
        assert_eq!(
            first, given_at,
            "the service manager decides about its address"
        );
        assert!(![moved_at, unused_at, given_at].contains(&second));
        let record = |kind, address| ListenerRecord { kind, address };
        let expected = [
            record(ListenerKind::Ssh, None),
            record(ListenerKind::Metrics, Some(web)),
        ];
        assert_eq!(listeners.records(), expected);
        for (address, is_open) in [
            (first, true),
            (second, true),
            (moved_at, false),
            (unused_at, false),
        ] {
            assert_eq!(TcpStream::connect(address).is_ok(), is_open, "{address}");
        }
        listeners.close();
        assert!(listeners.files().is_empty());
        assert!(TcpStream::connect(first).is_err() && TcpStream::connect(second).is_err());
    }

    #[test]
    fn a_process_gets_its_own_listeners() {
        let (ssh, web) = (held(ListenerKind::Ssh, None), held(ListenerKind::Web, None));
        let metrics = held(ListenerKind::Metrics, None);
        let addresses = [ssh.1, web.1, metrics.1];
        let listeners = Listeners(vec![ssh.0, web.0, metrics.0]);
        let of = |kind| {
            let (kinds, files) = listeners.of(kind);
            assert_eq!(kinds.len(), files.len());
            kinds
        };
        assert_eq!(of(&WORKER), [ListenerKind::Ssh, ListenerKind::Metrics]);
        assert_eq!(of(&WEB), [ListenerKind::Web]);
        assert_eq!(of(&AUTH), []);
        assert_eq!(listeners.without(&WORKER), [addresses[1]]);
        assert_eq!(listeners.without(&WEB), [addresses[0], addresses[2]]);
    }

    #[tokio::test]
    async fn a_socket_that_was_bound_for_the_same_address_stays() {
        let (ssh, web) = (any(), any());
        let (before, before_at) = held(ListenerKind::Ssh, Some(ssh));
        // The same address for another purpose is another listener.
        let (other, other_at) = held(ListenerKind::Web, Some(web));
        let config = config(ssh, Some(web));
        let listeners = Listeners::open(&config, vec![other, before]).await;
        let listeners = addresses(&listeners.unwrap());
        assert_eq!(listeners.first(), Some(&before_at));
        assert!(!listeners.contains(&other_at));
    }

    /// An address that another program has is named, before the start and at it.
    #[tokio::test]
    async fn an_address_that_is_in_use_is_an_error() {
        let (_other, taken) = held(ListenerKind::Ssh, None);
        let config = config(any(), Some(taken));
        for result in [
            Listeners::look(&config),
            Listeners::open(&config, Vec::new()).await.map(drop),
        ] {
            let Err(MonitorError::Listen(address, error)) = result else {
                panic!("{result:?}")
            };
            assert_eq!((address, error.kind()), (taken, io::ErrorKind::AddrInUse));
        }
    }

    /// What `look` finds free is as free afterwards, and for two that look at the same time.
    #[test]
    fn looking_takes_nothing() {
        let (listener, address) = held(ListenerKind::Ssh, None);
        drop(listener);
        let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
        let other = socket_with(family, SocketType::STREAM, flags, None).unwrap();
        sockopt::set_socket_reuseaddr(&other, true).unwrap();
        rustix::net::bind(&other, &address).unwrap();
        Listeners::look(&config(address, None)).unwrap();
        Listeners::look(&config(any(), Some(any()))).unwrap();
    }

    /// Two of the configuration's own are in each other's way although neither is bound yet.
    #[test]
    fn two_listeners_cannot_have_one_address() {
        for (one, other, do_overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), do_overlap, "{one} {other}");
        }
        let (listener, free) = held(ListenerKind::Ssh, None);
        drop(listener);
        let looked = Listeners::look(&config(free, Some(free)));
        assert!(
            matches!(looked, Err(MonitorError::Listen(address, _)) if address == free),
            "{looked:?}"
        );
    }
}
