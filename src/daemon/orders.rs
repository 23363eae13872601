//! The way to the monitor: what it orders, and what it is told.
//!
//! When the monitor is gone, however it went, nobody holds the ports and nobody is told to stop any more:
//! then this process ends its connections, in order, and itself.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ServeError;
use super::stop::Stop;
use crate::config::{Config, Source};
use crate::monitor::{self, ListenerKind, MonitorMessage, PublicCaKeys, VERSION, WorkerMessage};
use crate::sys::lent::{self, Lender, Purpose};
use crate::sys::post::{Parcel, Post};

/// How long the monitor may take to open a file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Orders that may wait.
const QUEUE: usize = 64;

/// The way to the monitor. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct MonitorClient(Arc<Post>);

/// The listeners that this process was given.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) ssh: Option<TcpListener>,
    pub(super) web: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
}

impl MonitorClient {
    /// Finds the way, which is standard input, and takes the first order.
    ///
    /// # Errors
    /// When this process was started by anybody else than a monitor of the same version.
    pub(super) fn begin() -> Result<(Self, Listeners, PublicCaKeys), ServeError> {
        let post = Post::of_stdin().map_err(ServeError::NoMonitor)?;
        let parcel = post.receive().map_err(ServeError::NoMonitor)?;
        let unusable = || ServeError::NoMonitor(io::ErrorKind::InvalidData.into());
        let Parcel { message, files } = parcel.ok_or_else(unusable)?;
        let order = monitor::decode(&message);
        let Ok(MonitorMessage::Start {
            version,
            listeners,
            keys,
        }) = order
        else {
            return Err(unusable());
        };
        if version != VERSION || listeners.len() != files.len() {
            return Err(unusable());
        }
        let mut given = Listeners::default();
        for (port, file) in listeners.into_iter().zip(files) {
            let place = match port {
                ListenerKind::Ssh => &mut given.ssh,
                ListenerKind::Web => &mut given.web,
                ListenerKind::Metrics => &mut given.metrics,
            };
            *place = Some(file.into());
        }
        Ok((Self(Arc::new(post)), given, keys))
    }

    /// Tells the monitor.
    pub(super) fn report(&self, report: &WorkerMessage) {
        let sent = monitor::encode(report).map_err(io::Error::from);
        let sent = sent.and_then(|message| self.0.send(&message, &[]));
        if let Err(error) = sent {
            tracing::debug!(%error, "the monitor cannot be told");
        }
    }

    /// A new connection to the agent that signs host certificates.
    ///
    /// # Errors
    /// When the monitor cannot be told.
    pub(super) fn signer(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.0
            .send(&monitor::encode(&WorkerMessage::Sign)?, &[theirs.as_fd()])?;
        Ok(ours)
    }

    /// From now on the monitor opens the files that are read again while the proxy runs.
    ///
    /// # Errors
    /// When somebody does so already.
    pub(super) fn borrow_files(&self, config: &Config, source: &Source) -> Result<(), ServeError> {
        let shelf = monitor::shelf(config, source);
        lent::borrow(shelf, Box::new(self.clone())).map_err(|error| {
            let error = io::Error::other(error);
            ServeError::NoMonitor(error)
        })
    }

    fn ask_for(&self, report: &WorkerMessage) -> io::Result<Option<Parcel>> {
        let (ours, theirs) = Post::pair()?;
        ours.set_patience(PATIENCE)?;
        self.0.send(&monitor::encode(report)?, &[theirs.as_fd()])?;
        drop(theirs);
        match ours.receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the monitor does not open it in time",
            )),
            answer => answer,
        }
    }

    /// The orders from now on. Their end is the monitor's, and ends everything.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn orders(&self, stop: Stop) -> io::Result<mpsc::Receiver<MonitorMessage>> {
        let (sender, orders) = mpsc::channel(QUEUE);
        let post = Arc::clone(&self.0);
        std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(move || {
                while let Ok(Some(parcel)) = post.receive() {
                    match monitor::decode(&parcel.message) {
                        Ok(order) => {
                            if sender.blocking_send(order).is_err() {
                                return;
                            }
                        }
                        Err(error) => tracing::warn!(%error, "an order that nobody understands"),
                    }
                }
                tracing::error!("the monitor is gone, and every connection ends with it");
                stop.end("monitor-gone");
            })?;
        Ok(orders)
    }
}

impl Lender for MonitorClient {
    fn lend(&self, path: &Path, purpose: Purpose) -> io::Result<File> {
        let report = WorkerMessage::Lend {
            path: path.as_os_str().to_owned(),
            to_append: purpose == Purpose::Append,
        };
        // Without an answer it became another version of itself just now.
        let parcel = match self.ask_for(&report)? {
            Some(parcel) => parcel,
            None => self.ask_for(&report)?.ok_or(io::ErrorKind::UnexpectedEof)?,
        };
        if let Some(file) = parcel.files.into_iter().next() {
            return Ok(file.into());
        }
        let text = String::from_utf8_lossy(&parcel.message).into_owned();
        let number = text.parse().map_err(io::Error::other)?;
        Err(io::Error::from_raw_os_error(number))
    }
}
