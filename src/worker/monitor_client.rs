//! The socket to the monitor: the monitor's orders, the worker's reports, and the services that the
//! monitor provides.
//!
//! If the monitor has exited for any reason, no process holds the listeners or can order this worker to
//! stop: the worker then closes its connections in order, and exits.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use tokio::sync::mpsc;

use super::error::ServeError;
use crate::config::{Config, Source};
use crate::ipc::{
    ListenerKind, MonitorMessage, ProcessMessage, PublicCaKeys, RemoteChanges, RemoteFiles,
    RemoteNodes, RemotePeers, RemotePeople, RemoteSigning, RemoteTelemetry, VERSION,
};
use crate::monitor::{MonitorLink, WORKER};

/// The socket to the monitor. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct MonitorClient(MonitorLink);

/// The listeners that this process was given.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) ssh: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
    /// Where those are that other processes of this proxy have.
    pub(super) others: Vec<SocketAddr>,
}

impl MonitorClient {
    /// Takes the socket from standard input, and receives the first message.
    ///
    /// # Errors
    /// When this process was not started by a monitor of the same version.
    pub(super) fn begin() -> Result<(Self, Listeners, PublicCaKeys), ServeError> {
        let begun = MonitorLink::begin(&WORKER, first).map_err(ServeError::NoMonitor);
        begun.map(|(link, (listeners, keys))| (Self(link), listeners, keys))
    }

    /// Sends a report to the monitor.
    pub(super) fn report(&self, report: &ProcessMessage) {
        self.0.tell(report);
    }

    /// The service that signs host certificates.
    pub(super) fn signing(&self) -> RemoteSigning {
        RemoteSigning::new(self.0.calls())
    }

    /// The service that decides about people.
    pub(super) fn people(&self) -> RemotePeople {
        RemotePeople::new(self.0.calls())
    }

    /// The service that decides about nodes.
    pub(super) fn nodes(&self) -> RemoteNodes {
        RemoteNodes::new(self.0.calls())
    }

    /// The service that knows the other proxies on the same state.
    pub(super) fn peers(&self) -> RemotePeers {
        RemotePeers::new(self.0.calls())
    }

    /// The service that tells what was revoked, and which sign-ins have ended.
    pub(super) fn changes(&self) -> RemoteChanges {
        RemoteChanges::new(self.0.calls())
    }

    /// The service that says what the auth process has counted.
    pub(super) fn telemetry(&self) -> RemoteTelemetry {
        RemoteTelemetry::new(self.0.calls())
    }

    /// Files that the monitor opens, because this process cannot open them once it is confined.
    pub(super) fn files(&self, config: &Config, source: &Source) -> RemoteFiles {
        self.0.files(config, source)
    }

    /// The monitor's next messages. `gone` is called when the monitor has exited.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(super) fn messages(
        &self,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<mpsc::Receiver<MonitorMessage>> {
        self.0.messages(|| {
            tracing::error!("the monitor is gone, and every connection ends with it");
            gone();
        })
    }
}

/// What the first message brings.
fn first(message: MonitorMessage, files: Vec<OwnedFd>) -> Option<(Listeners, PublicCaKeys)> {
    let MonitorMessage::Start {
        version: VERSION,
        listeners,
        keys,
        others,
    } = message
    else {
        return None;
    };
    if listeners.len() != files.len() {
        return None;
    }
    let mut given = Listeners {
        others,
        ..Listeners::default()
    };
    for (kind, file) in listeners.into_iter().zip(files) {
        let listener = match kind {
            ListenerKind::Ssh => &mut given.ssh,
            ListenerKind::Web => return None,
            ListenerKind::Metrics => &mut given.metrics,
        };
        *listener = Some(file.into());
    }
    Some((given, keys))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::cert::testing::ed25519;
    use crate::ipc::{MessageSocket, encode};
    use crate::worker::stop::Stop;

    fn keys() -> PublicCaKeys {
        let key = ed25519().public_key().clone();
        PublicCaKeys {
            user: vec![key.clone()],
            host: vec![key.clone()],
            signs: key,
        }
    }

    fn start(version: u32, listeners: Vec<ListenerKind>) -> MonitorMessage {
        MonitorMessage::Start {
            version,
            listeners,
            keys: keys(),
            others: Vec::new(),
        }
    }

    fn begin_on(socket: MessageSocket) -> io::Result<(MonitorLink, (Listeners, PublicCaKeys))> {
        MonitorLink::begin_on(socket, &WORKER, first)
    }

    #[test]
    fn the_first_message_brings_the_listeners_and_keys() {
        let (monitor, worker) = MessageSocket::pair().unwrap();
        let (ssh, metrics) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        );
        let mut message = start(VERSION, vec![ListenerKind::Metrics, ListenerKind::Ssh]);
        let elsewhere: SocketAddr = "127.0.0.1:3080".parse().unwrap();
        if let MonitorMessage::Start { others, .. } = &mut message {
            others.push(elsewhere);
        }
        let files = [metrics.as_fd(), ssh.as_fd()];
        monitor.send(&encode(&message).unwrap(), &files).unwrap();
        let (link, (given, given_keys)) = begin_on(worker).unwrap();
        let client = MonitorClient(link);
        let address = |listener: Option<TcpListener>| listener.map(|one| one.local_addr().unwrap());
        assert_eq!(address(given.ssh), Some(ssh.local_addr().unwrap()));
        assert_eq!(address(given.metrics), Some(metrics.local_addr().unwrap()));
        assert_eq!(given.others, [elsewhere]);
        let MonitorMessage::Start { keys, .. } = message else {
            panic!("{message:?}");
        };
        assert_eq!(given_keys, keys);
        client.report(&ProcessMessage::Ready);
        assert_eq!(monitor.receive().unwrap().unwrap().bytes, br#""ready""#);
    }

    #[test]
    fn no_other_first_message_starts_a_worker() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (message, files) in [
            (start(VERSION + 1, Vec::new()), &[][..]),
            (start(1, Vec::new()), &[]),
            (start(VERSION, vec![ListenerKind::Ssh]), &[]),
            // That of the web is for another process.
            (start(VERSION, vec![ListenerKind::Web]), &[listener.as_fd()]),
            (start(VERSION, Vec::new()), &[listener.as_fd()]),
            (MonitorMessage::Ping, &[]),
        ] {
            let (monitor, worker) = MessageSocket::pair().unwrap();
            monitor.send(&encode(&message).unwrap(), files).unwrap();
            let refused = begin_on(worker).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{message:?}");
        }
        let (monitor, worker) = MessageSocket::pair().unwrap();
        drop(monitor);
        begin_on(worker).unwrap_err();
    }

    #[test]
    fn the_monitors_end_ends_everything() {
        let (monitor, worker) = MessageSocket::pair().unwrap();
        let message = encode(&start(VERSION, Vec::new())).unwrap();
        monitor.send(&message, &[]).unwrap();
        let (link, _) = begin_on(worker).unwrap();
        let client = MonitorClient(link);
        let stop = Stop::new();
        let over = stop.clone();
        let mut messages = client.messages(move || over.end("monitor-gone")).unwrap();
        monitor.send(b"what nobody understands", &[]).unwrap();
        monitor.send(br#""reload""#, &[]).unwrap();
        assert_eq!(messages.blocking_recv(), Some(MonitorMessage::Reload));
        assert!(!stop.over.is_cancelled());
        drop(monitor);
        assert_eq!(messages.blocking_recv(), None);
        // The channel is closed after everything else.
        assert!(stop.over.is_cancelled());
        assert_eq!(stop.reason(), "monitor-gone");
    }
}
