//! The socket to the monitor: its orders, this process's reports, and the services that it may call.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use tokio::sync::mpsc;

use super::error::WebServiceError;
use crate::config::{Config, Source};
use crate::ipc::{
    MonitorMessage, ProcessMessage, RemoteBrowser, RemoteBrowserSessions, RemoteFiles,
    RemotePublished, VERSION,
};
use crate::monitor::{MonitorLink, WEB};

/// The socket to the monitor.
#[derive(Debug)]
pub(super) struct MonitorClient(MonitorLink);

impl MonitorClient {
    /// Takes the socket from standard input, and receives the first message, with which the listener comes.
    ///
    /// # Errors
    /// When this process was not started by a monitor of the same version.
    pub(super) fn begin() -> Result<(Self, TcpListener), WebServiceError> {
        let begun = MonitorLink::begin(&WEB, first).map_err(WebServiceError::NoMonitor);
        begun.map(|(link, listener)| (Self(link), listener))
    }

    /// Files that the monitor opens, because this process cannot open them once it is confined.
    pub(super) fn files(&self, config: &Config, source: &Source) -> RemoteFiles {
        self.0.files(config, source)
    }

    /// The service that answers browsers.
    pub(super) fn browser(&self) -> RemoteBrowser {
        RemoteBrowser::new(self.0.calls())
    }

    /// The services that answer browsers in which people sign in.
    pub(super) fn sessions(&self) -> RemoteBrowserSessions {
        RemoteBrowserSessions::new(self.0.calls())
    }

    /// The service that tells what everybody may know.
    pub(super) fn published(&self) -> RemotePublished {
        RemotePublished::new(self.0.calls())
    }

    /// Sends a report to the monitor.
    pub(super) fn report(&self, report: &ProcessMessage) {
        self.0.tell(report);
    }

    /// The monitor's next messages. `gone` is called when the monitor has exited.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(super) fn messages(
        &self,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<mpsc::Receiver<MonitorMessage>> {
        self.0.messages(gone)
    }
}

fn first(message: MonitorMessage, files: Vec<OwnedFd>) -> Option<TcpListener> {
    let MonitorMessage::StartWeb { version: VERSION } = message else {
        return None;
    };
    let mut files = files.into_iter();
    match (files.next(), files.next()) {
        (Some(listener), None) => Some(listener.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::ipc::{MessageSocket, encode};

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
            let begun = MonitorLink::begin_on(web, &WEB, first);
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
        let (link, _listener) = MonitorLink::begin_on(web, &WEB, first).unwrap();
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
