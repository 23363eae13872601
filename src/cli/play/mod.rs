//! `rproxy play`: replay a recording on this terminal.

pub(super) mod exit;
pub(super) mod keys;
mod pace;
pub(super) mod player;
pub(super) mod terminal;

use std::io::{self, IsTerminal};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::{Context, Exit, Failure, recordings, ui};
use crate::model::SessionKind;
use crate::recording::{ExitNote, State};
use pace::Pace;
use player::{ReplayEnd, Screen};

/// What `--skip-idle` leaves of a silence.
const SHORT_SILENCE: Duration = Duration::from_secs(1);
/// Keys that may have been pressed and not looked at.
const KEYS_AHEAD: usize = 16;

/// Replay a recording
///
/// Keys: space stops and goes on, + and - or up and down change the speed, right skips a silence,
/// q or Ctrl-C ends the replay. Control sequences that could act on this terminal are left out. However
/// the replay ends, by a signal too, the terminal is as it was before. Nothing is waited for when
/// standard output is not a terminal.
#[derive(Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// Session id, or its beginning, or `last`, or a file
    #[arg(value_name = "ID|FILE")]
    recording: String,
    /// How many times faster than it was
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Longest silence, in seconds of the session
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle_limit: Option<Duration>,
    /// Shorten every silence to a second
    #[arg(long, conflicts_with = "idle_limit")]
    skip_idle: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 0.01 to 1000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds".to_owned())
}

impl PlayArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut reader = recordings::open(context, &self.recording, "play")?;
        if reader.header().kind == SessionKind::Forward {
            return Err(nothing_to_play(&reader.header().session.to_string()));
        }
        let played = self.play(&mut reader);
        // By now the terminal is as it was: what follows can be read.
        match played {
            Ok(ReplayEnd::Played(exit)) => {
                self.tell_end(reader.state(), exit.as_ref());
                Ok(())
            }
            Ok(ReplayEnd::Quit) => Err(Failure::new(Exit::Interrupted, "the replay was ended")),
            Err(error) => terminal::failed(error, "cannot play the recording to its end"),
        }
    }

    fn play(
        &self,
        reader: &mut crate::recording::Reader<impl io::Read>,
    ) -> Result<ReplayEnd, player::PlayError> {
        let (pressed, keys) = sync_channel(KEYS_AHEAD);
        let pace = |screen: &Screen| {
            screen.is_watched.then(|| {
                let short = self.skip_idle.then_some(SHORT_SILENCE);
                Pace::new(self.speed, self.idle_limit.or(short), keys)
            })
        };
        let header = reader.header().clone();
        terminal::show(&header, &pressed, pace, |player| player.play(reader))
    }

    fn tell_end(&self, state: &State, exit: Option<&ExitNote>) {
        if *state == State::Truncated {
            ui::note(
                "rproxy: the recording has no end: it is still being written, or its writer was \
                 killed",
            );
        }
        if !io::stdout().is_terminal() {
            return;
        }
        if let Some(ending) = exit.and_then(exit::sentence) {
            ui::note(&ending);
        }
    }
}

/// Forwarded connections have streams of bytes, and no screen.
fn nothing_to_play(id: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{id} is a recording of forwarded connections: there is nothing to play"),
    )
    .hint(format!(
        "`rproxy recordings export {id} --format=json` writes all that has crossed"
    ))
}
