//! The other end of the monitor's socket: what each process that the monitor starts does with it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::file_service::allowed_files;
use super::processes::ProcessKind;
use crate::config::{Config, Source};
use crate::ipc::{
    Client, Datagram, MessageSocket, MonitorMessage, ProcessMessage, RemoteFiles, decode, encode,
};

/// How many of the monitor's messages may be queued.
const QUEUE: usize = 64;

/// The socket of a process to the monitor. Clones share it.
#[derive(Clone, Debug)]
pub struct MonitorLink {
    kind: &'static ProcessKind,
    socket: Arc<MessageSocket>,
    calls: Client,
}

impl MonitorLink {
    /// Takes the socket from standard input, and receives the first message. `first` takes that and the
    /// files that came along; `None` for what does not start a process of this kind.
    ///
    /// # Errors
    /// When this process was not started by a monitor of the same version.
    pub fn begin<T>(
        kind: &'static ProcessKind,
        first: impl FnOnce(MonitorMessage, Vec<OwnedFd>) -> Option<T>,
    ) -> io::Result<(Self, T)> {
        Self::begin_on(MessageSocket::from_stdin()?, kind, first)
    }

    /// As [`MonitorLink::begin`], on another socket.
    ///
    /// # Errors
    /// When the first message does not start this process.
    pub fn begin_on<T>(
        socket: MessageSocket,
        kind: &'static ProcessKind,
        first: impl FnOnce(MonitorMessage, Vec<OwnedFd>) -> Option<T>,
    ) -> io::Result<(Self, T)> {
        let unusable = || io::Error::from(io::ErrorKind::InvalidData);
        let Datagram { bytes, files } = socket.receive()?.ok_or_else(unusable)?;
        let message = decode(&bytes).map_err(|_no_message| unusable())?;
        let given = first(message, files).ok_or_else(unusable)?;
        let socket = Arc::new(socket);
        let calls = Client::new(Arc::<MessageSocket>::clone(&socket));
        let link = Self {
            kind,
            socket,
            calls,
        };
        Ok((link, given))
    }

    /// Calls services.
    #[must_use]
    pub fn calls(&self) -> Client {
        self.calls.clone()
    }

    /// Files that the monitor opens, because this process cannot open them once it is confined.
    #[must_use]
    pub fn files(&self, config: &Config, source: &Source) -> RemoteFiles {
        RemoteFiles::new(allowed_files(self.kind, config, source), self.calls())
    }

    /// Sends a report to the monitor.
    ///
    /// # Errors
    /// When the monitor has exited, or does not read.
    pub fn report(&self, report: &ProcessMessage) -> io::Result<()> {
        self.socket.send(&encode(report)?, &[])
    }

    /// Sends a report to the monitor. If it cannot be sent, that is logged: then the monitor has exited, which
    /// [`MonitorLink::receive`] notices.
    pub fn tell(&self, report: &ProcessMessage) {
        if let Err(error) = self.report(report) {
            tracing::debug!(%error, "the monitor cannot be told");
        }
    }

    /// Waits for the monitor's next message; `None` when the monitor has exited.
    #[must_use]
    pub fn receive(&self) -> Option<Datagram> {
        self.socket.receive().ok().flatten()
    }

    /// The monitor's next messages, received on a thread. `gone` is called when the monitor has exited.
    ///
    /// # Errors
    /// When no thread can be created.
    pub fn messages(
        &self,
        gone: impl FnOnce() + Send + 'static,
    ) -> io::Result<mpsc::Receiver<MonitorMessage>> {
        let (sender, messages) = mpsc::channel(QUEUE);
        let link = self.clone();
        std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(move || {
                while let Some(message) = link.receive() {
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
