//! The signals of a worker.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that reach this process itself, or all processes of a terminal at once. The monitor's
/// messages decide: SIGTERM and SIGINT drain, as its message does, however often they come; the others
/// are ignored.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    _ignored: [Signal; 2],
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _ignored: [
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }
}
