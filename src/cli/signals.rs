//! Handles signals while a terminal's modes are changed, and restores the modes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::sys::tty::Modes;

/// How long a replay has to put the terminal back by itself, if no second signal comes.
const GRACE: Duration = Duration::from_secs(2);

/// SIGHUP, SIGINT, SIGQUIT and SIGTERM, which end nothing by themselves any more.
#[derive(Debug)]
pub(crate) struct Signals {
    runtime: Runtime,
    taken: [tokio::signal::unix::Signal; 4],
}

impl Signals {
    /// Takes them, for as long as the process lives.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn take() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let taken = {
            let _entered = runtime.enter();
            [
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
                signal(SignalKind::terminate())?,
            ]
        };
        Ok(Self { runtime, taken })
    }

    /// Has the first one call `quit`, on a thread of its own, so that it may wait. A replay that
    /// cannot end, because its terminal takes no output, is ended here: with the terminal's modes as
    /// they were, which is all that can be put back then.
    pub(crate) fn end_with(
        mut self,
        quit: impl FnOnce() + Send + 'static,
        modes: Option<Arc<Modes>>,
    ) {
        std::thread::spawn(move || {
            self.runtime.block_on(async {
                any(&mut self.taken).await;
                std::thread::spawn(quit);
                let _second_or_late = tokio::time::timeout(GRACE, any(&mut self.taken)).await;
            });
            end(modes.as_deref());
        });
    }

    /// Has the first one end the process, with the terminal's modes as they were.
    pub(crate) fn end_at_once(mut self, modes: Arc<Modes>) {
        std::thread::spawn(move || {
            self.runtime.block_on(any(&mut self.taken));
            end(Some(&modes));
        });
    }
}

/// The signal itself has lost its effect.
fn end(modes: Option<&Modes>) {
    if let Some(modes) = modes {
        modes.restore();
    }
    let _cannot_fail = kill_process(getpid(), Signal::KILL);
}

async fn any(signals: &mut [tokio::signal::unix::Signal; 4]) {
    let [hangup, interrupt, quit, terminate] = signals;
    tokio::select! {
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
        _ = terminate.recv() => {}
    }
}
