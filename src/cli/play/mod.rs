//! `rproxy play`: replay a recording on this terminal.

pub(super) mod exit;
pub(super) mod keys;
mod pace;
pub(super) mod player;
pub(super) mod terminal;

use std::io::{self, IsTerminal, StdoutLock};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::{Context, Exit, Failure, recordings, ui};
use crate::model::SessionKind;
use crate::recording::{ExitNote, Header, State};
use pace::Pace;
use player::{PlayError, Player, ReplayEnd, Screen};

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
    /// Begin at this time of the session, with what its terminal showed then: seconds, or M:SS, or
    /// H:MM:SS
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Duration>,
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

/// A time since the start: up to three numbers with colons between them.
fn time(text: &str) -> Result<Duration, String> {
    let expected = || "expected seconds, or M:SS, or H:MM:SS".to_owned();
    let mut parts = text.rsplit(':');
    let mut sum = parts
        .next()
        .and_then(|part| seconds(part).ok())
        .ok_or_else(expected)?;
    for unit in [60, 3600] {
        let Some(part) = parts.next() else { break };
        // With minutes before them there are no more than 59.
        if sum >= Duration::from_secs(unit) {
            return Err(expected());
        }
        let count: u32 = part.parse().map_err(|_not_a_number| expected())?;
        sum += Duration::from_secs(unit) * count;
    }
    parts.next().is_none().then_some(sum).ok_or_else(expected)
}

impl PlayArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (played, state) = match self.at {
            None => {
                let mut reader = recordings::open(context, &self.recording, "play")?;
                let played = self.play(reader.header().clone(), |player| player.play(&mut reader));
                (played?, reader.state().clone())
            }
            Some(at) => {
                let mut sought = recordings::open_at(context, &self.recording, "play", at)?;
                let header = sought.header().clone();
                let played = self.play(header, |player| player.play_from(at, &mut sought));
                (played?, sought.state().clone())
            }
        };
        // By now the terminal is as it was: what follows can be read.
        match played {
            Ok(ReplayEnd::Played(exit)) => {
                self.tell_end(&state, exit.as_ref());
                Ok(())
            }
            Ok(ReplayEnd::Quit) => Err(Failure::new(Exit::Interrupted, "the replay was ended")),
            Err(error) => terminal::failed(error, "cannot play the recording to its end"),
        }
    }

    /// Shows it with `play`. What went wrong meanwhile is the inner result's.
    fn play(
        &self,
        header: Header,
        play: impl FnOnce(&mut Player<StdoutLock<'static>>) -> Result<ReplayEnd, PlayError>,
    ) -> Result<Result<ReplayEnd, PlayError>, Failure> {
        if header.kind == SessionKind::Forward {
            return Err(nothing_to_play(&header.session.to_string()));
        }
        let (pressed, keys) = sync_channel(KEYS_AHEAD);
        let pace = |screen: &Screen| {
            screen.is_watched.then(|| {
                let short = self.skip_idle.then_some(SHORT_SILENCE);
                Pace::new(self.speed, self.idle_limit.or(short), keys)
            })
        };
        Ok(terminal::show(&header, &pressed, pace, play))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_with_minutes_and_hours_before_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("90", 90_000),
            ("1.5", 1500),
            ("1:30", 90_000),
            ("75:00.25", 4_500_250),
            ("2:03:04", 7_384_000),
        ] {
            assert_eq!(
                time(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "", ":", "1:", ":1", "-1", "1:60", "1:60:00", "1:2:3:4", "x", "1e999",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
