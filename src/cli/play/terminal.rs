//! This terminal, while a recording or a live session is shown on it.

use std::io::{self, IsTerminal, StdoutLock};
use std::sync::mpsc::SyncSender;

use super::keys::{self, KeyPress};
use super::pace::Pace;
use super::player::{PlayError, Player, Screen};
use crate::cli::signals::Signals;
use crate::cli::{Exit, Failure, ui};
use crate::recording::Header;
use crate::sys::tty::{self, ModeGuard};

/// Where something is played: standard output, and the terminal of the viewer. Its modes are as
/// before when this is dropped.
#[derive(Debug)]
struct PlayTerminal {
    /// What it is shown on.
    screen: Screen,
    /// Whether there are keys to be pressed.
    has_keys: bool,
    modes: Option<ModeGuard>,
    /// Taken for a terminal alone: what has no screen to put back ends as it always does.
    signals: Option<Signals>,
}

impl PlayTerminal {
    /// This one.
    ///
    /// # Errors
    /// When the terminal's modes cannot be changed.
    fn here() -> io::Result<Self> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let is_watched = stdout.is_terminal();
        let has_keys = is_watched && stdin.is_terminal();
        // Before the modes are changed: from then on there is something to put back.
        let signals = is_watched.then(Signals::take).transpose()?;
        let modes = if has_keys {
            Some(ModeGuard::raw(&stdin)?)
        } else if is_watched {
            Some(ModeGuard::plain_output(&stdout)?)
        } else {
            None
        };
        let screen = Screen {
            size: tty::size(&stdout).filter(|_| is_watched),
            is_watched,
        };
        Ok(Self {
            screen,
            has_keys,
            modes,
            signals,
        })
    }

    /// Sends the keys that are pressed, and [`KeyPress::Quit`] for a signal.
    fn listen(&mut self, keys: &SyncSender<KeyPress>) {
        if let Some(signals) = self.signals.take() {
            let keys = keys.clone();
            let quit = move || {
                // The replay may be over.
                let _sent = keys.send(KeyPress::Quit);
            };
            signals.end_with(quit, self.modes.as_ref().map(ModeGuard::modes));
        }
        if self.has_keys {
            keys::listen(keys.clone());
        }
    }
}

/// Shows a session on standard output with `play`. However that ends, the terminal is as it was before
/// when this returns. Keys and signals go to `pressed`.
///
/// # Errors
/// Those of `play`, and the terminal's.
pub(in crate::cli) fn show<T>(
    header: &Header,
    pressed: &SyncSender<KeyPress>,
    pace: impl FnOnce(&Screen) -> Option<Pace>,
    play: impl FnOnce(&mut Player<StdoutLock<'static>>) -> Result<T, PlayError>,
) -> Result<T, PlayError> {
    let mut terminal = PlayTerminal::here()?;
    terminal.listen(pressed);
    let screen = terminal.screen;
    let mut player = Player::new(io::stdout().lock(), screen, pace(&screen), header);
    let played = play(&mut player);
    let restored = player.restore();
    drop(terminal);
    let ending = played?;
    restored?;
    if let Some(larger) = player.outgrown() {
        ui::note(&larger);
    }
    Ok(ending)
}

/// How the command ends when showing has failed: well, if the reader of standard output has gone.
///
/// # Errors
/// The failure, in all other cases.
pub(in crate::cli) fn failed(error: PlayError, message: &'static str) -> Result<(), Failure> {
    match error {
        PlayError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        error => Err(Failure::new(Exit::Failed, message).because(error)),
    }
}
