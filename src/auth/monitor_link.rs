//! The socket to the monitor: the monitor's orders and the calls that it passes on, and this process's
//! reports.
//!
//! If the monitor has exited for any reason, no process can call any more, and this one exits.

use std::io;
use std::sync::Arc;

use super::error::AuthProcessError;
use crate::config::{Config, Source};
use crate::ipc::{
    Client, Datagram, MessageSocket, MonitorMessage, ProcessMessage, RemoteFiles, VERSION, decode,
    encode,
};
use crate::monitor::{self, AUTH};

/// The socket to the monitor. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct MonitorLink {
    socket: Arc<MessageSocket>,
    calls: Client,
}

impl MonitorLink {
    /// Takes the socket from standard input, and receives the first message: it says how often an auth
    /// process was started again.
    ///
    /// # Errors
    /// When this process was not started by a monitor of the same version.
    pub(super) fn begin() -> Result<(Self, u64), AuthProcessError> {
        let socket = MessageSocket::from_stdin().map_err(AuthProcessError::NoMonitor)?;
        Self::begin_on(socket).map_err(AuthProcessError::NoMonitor)
    }

    fn begin_on(socket: MessageSocket) -> io::Result<(Self, u64)> {
        let unusable = || io::Error::from(io::ErrorKind::InvalidData);
        let first = socket.receive()?.ok_or_else(unusable)?;
        let Ok(MonitorMessage::StartAuth {
            version: VERSION,
            restarts,
        }) = decode(&first.bytes)
        else {
            return Err(unusable());
        };
        let socket = Arc::new(socket);
        let calls = Client::new(Arc::<MessageSocket>::clone(&socket));
        Ok((Self { socket, calls }, restarts))
    }

    /// Files that the monitor opens, because this process cannot open them once it is confined.
    pub(super) fn files(&self, config: &Config, source: &Source) -> RemoteFiles {
        let allowed = monitor::allowed_files(&AUTH, config, source);
        RemoteFiles::new(allowed, self.calls.clone())
    }

    /// Sends a report to the monitor.
    ///
    /// # Errors
    /// When the monitor has exited, or does not read.
    pub(super) fn report(&self, report: &ProcessMessage) -> io::Result<()> {
        self.socket.send(&encode(report)?, &[])
    }

    /// Waits for the monitor's next message; `None` when the monitor has exited.
    pub(super) fn receive(&self) -> Option<Datagram> {
        self.socket.receive().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_monitor_of_this_version_starts_it() {
        let start = |version| MonitorMessage::StartAuth {
            version,
            restarts: 7,
        };
        for (message, is_good) in [
            (start(VERSION), true),
            (start(VERSION + 1), false),
            (start(VERSION - 1), false),
            (MonitorMessage::Ping, false),
        ] {
            let (monitor, auth) = MessageSocket::pair().unwrap();
            monitor.send(&encode(&message).unwrap(), &[]).unwrap();
            let begun = MonitorLink::begin_on(auth);
            assert_eq!(begun.is_ok(), is_good, "{message:?}");
            if let Ok((link, restarts)) = begun {
                assert_eq!(restarts, 7);
                link.report(&ProcessMessage::Ready).unwrap();
                assert_eq!(monitor.receive().unwrap().unwrap().bytes, br#""ready""#);
                drop(monitor);
                assert!(link.receive().is_none());
                link.report(&ProcessMessage::Ready).unwrap_err();
            }
        }
        let (monitor, auth) = MessageSocket::pair().unwrap();
        drop(monitor);
        MonitorLink::begin_on(auth).unwrap_err();
    }
}
