//! The terminal: its size, and its modes during a replay.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::termios::{self, OptionalActions, OutputModes, Termios};

/// Width and height of a terminal in characters. `None` when it is none, or does not know.
#[must_use]
pub fn size(terminal: impl AsFd) -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The modes that a terminal had.
#[derive(Debug)]
pub struct Modes {
    terminal: OwnedFd,
    before: Termios,
}

impl Modes {
    /// Gives them back, without waiting for output that the terminal has not taken.
    pub fn restore(&self) {
        // A terminal that has gone away needs no restoring.
        let _gone = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// A terminal whose modes were changed; dropping this restores them.
#[derive(Debug)]
#[must_use = "dropping it restores the terminal"]
pub struct ModeGuard(Arc<Modes>);

impl ModeGuard {
    /// Raw mode: every key at once, no echo, no signals from keys, output as it is written.
    ///
    /// # Errors
    /// When it is no terminal.
    pub fn raw(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, Termios::make_raw)
    }

    /// Output as it is written, without a carriage return before each line feed; keys as before.
    ///
    /// # Errors
    /// When it is no terminal.
    pub fn plain_output(terminal: impl AsFd) -> io::Result<Self> {
        Self::change(terminal, |modes| modes.output_modes -= OutputModes::OPOST)
    }

    /// What it will restore, for code that has to restore it earlier.
    #[must_use]
    pub fn modes(&self) -> Arc<Modes> {
        Arc::clone(&self.0)
    }

    fn change(terminal: impl AsFd, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut modes = before.clone();
        change(&mut modes);
        termios::tcsetattr(&terminal, OptionalActions::Drain, &modes)?;
        Ok(Self(Arc::new(Modes { terminal, before })))
    }
}

impl Drop for ModeGuard {
    fn drop(&mut self) {
        let Modes { terminal, before } = &*self.0;
        // A terminal that has gone away needs no restoring.
        let _gone = termios::tcsetattr(terminal, OptionalActions::Drain, before);
    }
}
