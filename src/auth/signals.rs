//! The signals of the auth process, none of which it obeys.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that reach all processes of a terminal, or of a service, at once. The monitor's messages decide:
/// as long as a worker has connections, this process answers. They are ignored while this exists.
#[derive(Debug)]
pub(super) struct IgnoredSignals {
    _ignored: [Signal; 4],
    _runtime: Runtime,
}

impl IgnoredSignals {
    /// Begins to ignore them.
    ///
    /// # Errors
    /// When the operating system refuses a handler.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let entered = runtime.enter();
        let ignored = [
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::user_defined2())?,
        ];
        drop(entered);
        Ok(Self {
            _ignored: ignored,
            _runtime: runtime,
        })
    }
}
