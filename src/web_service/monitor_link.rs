//! The socket to the monitor: its orders, this process's reports, and the services that it may call.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::WebServiceError;
use crate::config::{Config, Source};
use crate::ipc::{
    Client, Datagram, MessageSocket, MonitorMessage, ProcessMessage, RemoteBrowser,
    RemoteBrowserSessions, RemoteFiles, RemotePublished, VERSION, decode, encode,
};
use crate::monitor::{self, WEB};

/// How many of the monitor's messages may be queued.
const QUEUE: usize = 64;

/// The socket to the monitor.
#[derive(Debug)]
pub(super) struct MonitorLink {
    socket: Arc<MessageSocket>,
    calls: Client,
}

impl MonitorLink {
    /// Takes the socket from standard input, and receives the first message, with which the listener comes.
    ///
    /// # Errors
    /// When this process was not started by a monitor of the same version.
    pub(super) fn begin() -> Result<(Self, TcpListener), WebServiceError> {
        let socket = MessageSocket::from_stdin().map_err(WebServiceError::NoMonitor)?;
        Self::begin_on(socket).map_err(WebServiceError::NoMonitor)
    }

    fn begin_on(socket: MessageSocket) -> io::Result<(Self, TcpListener)> {
        let unusable = || io::Error::from(io::ErrorKind::InvalidData);
        let Datagram { bytes, files } = socket.receive()?.ok_or_else(unusable)?;
        let Ok(MonitorMessage::StartWeb { version: VERSION }) = decode(&bytes) else {
            return Err(unusable());
        };
        let mut files = files.into_iter();
        let (Some(listener), None) = (files.next(), files.next()) else {
            return Err(unusable());
        };
        let socket = Arc::new(socket);
        let calls = Client::new(Arc::<MessageSocket>::clone(&socket));
        Ok((Self { socket, calls }, listener.into()))
    }

    /// Files that the monitor opens, because this process cannot open them once it is confined.
    pub(super) fn files(&self, config: &Config, source: &Source) -> RemoteFiles {
        let allowed = monitor::allowed_files(&WEB, config, source);
        RemoteFiles::new(allowed, self.calls.clone())
    }

    /// The service that answers browsers.
    pub(super) fn browser(&self) -> RemoteBrowser {
        RemoteBrowser::new(self.calls.clone())
    }

    /// The services that answer browsers in which people sign in.
    pub(super) fn sessions(&self) -> RemoteBrowserSessions {
        RemoteBrowserSessions::new(self.calls.clone())
    }

    /// The service that tells what everybody may know.
    pub(super) fn published(&self) -> RemotePublished {
        RemotePublished::new(self.calls.clone())
    }

    /// Sends a report to the monitor.
    pub(super) fn report(&self, report: &ProcessMessage) {
        let sent = encode(report).map_err(io::Error::from);
        let sent = sent.and_then(|message| self.socket.send(&message, &[]));
        if let Err(error) = sent {
            tracing::debug!(%error, "the monitor cannot be told");
        }
    }

    /// The monitor's next messages. `gone` is called when the monitor has exited.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(super) fn messages(
        &self,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<mpsc::Receiver<MonitorMessage>> {
        let (sender, messages) = mpsc::channel(QUEUE);
        let socket = Arc::clone(&self.socket);
        std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(move || {
                while let Ok(Some(message)) = socket.receive() {
                    match decode(&message.bytes) {
                        Ok(message) => {
                            if sender.blocking_send(message).is_err() {
                                return;
                            }
                        }
                        Err(error) => tracing::warn!(%error, "an order that nobody understands"),
                    }
                }
                gone();
            })?;
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn only_a_monitor_of_this_version_starts_it_with_one_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, two) = ([listener.as_fd()], [listener.as_fd(), listener.as_fd()]);
        let start = |version| MonitorMessage::StartWeb { version };
        for (message, files, is_good) in [
            (start(VERSION), &one[..], true),
            (start(VERSION), &[], false),
            (start(VERSION), &two, false),
            (start(VERSION + 1), &one, false),
            (start(VERSION - 1), &one, false),
            (MonitorMessage::Ping, &one, false),
        ] {
            let (monitor, web) = MessageSocket::pair().unwrap();
            monitor.send(&encode(&message).unwrap(), files).unwrap();
            let begun = MonitorLink::begin_on(web);
            assert_eq!(begun.is_ok(), is_good, "{message:?} {}", files.len());
            if let Ok((_, given)) = begun {
                let (given, ours) = (given.local_addr(), listener.local_addr());
                assert_eq!(given.unwrap(), ours.unwrap());
            }
        }
    }

    #[test]
    fn the_monitors_end_ends_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (monitor, web) = MessageSocket::pair().unwrap();
        let start = encode(&MonitorMessage::StartWeb { version: VERSION }).unwrap();
        monitor.send(&start, &[listener.as_fd()]).unwrap();
        let (link, _listener) = MonitorLink::begin_on(web).unwrap();
        let (sender, gone) = std::sync::mpsc::channel::<()>();
        let mut messages = link.messages(move || drop(sender)).unwrap();
        monitor.send(b"what nobody understands", &[]).unwrap();
        monitor.send(br#""reload""#, &[]).unwrap();
        assert_eq!(messages.blocking_recv(), Some(MonitorMessage::Reload));
        drop(monitor);
        assert_eq!(messages.blocking_recv(), None);
        gone.recv().unwrap_err();
    }
}
