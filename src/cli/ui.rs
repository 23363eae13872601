//! Everything that a command prints is printed here: results to standard output, the rest to
//! standard error. If the reader closes the pipe early, the command ends without an error.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use chrono::{DateTime, Utc};

use super::failure::{Exit, Failure};
use crate::model::text::Lines;

/// A time for people and programs (RFC 3339), to the second; `seconds` since the epoch.
pub(crate) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    time.map_or_else(
        || "never".to_owned(),
        |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// Prints a result to standard output. A terminal gets what is safe there, a pipe or a file the exact
/// text.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is not an error.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    match io::stdout().is_terminal() {
        true => result_bytes(Lines(text).to_string().as_bytes()),
        false => result_bytes(text.as_bytes()),
    }
}

/// Prints what was made for a terminal: a table, whose cells are safe and whose colours are ours.
///
/// # Errors
/// As [`result`].
pub(crate) fn rendered(text: &str) -> Result<(), Failure> {
    result_bytes(text.as_bytes())
}

/// Prints a result that is not text.
///
/// # Errors
/// As [`result`].
pub(crate) fn result_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "cannot write to standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// Tells the user something on standard error, as it is safe on a terminal. There is no way to tell
/// when that fails.
pub(crate) fn note(text: &str) {
    let _closed = writeln!(io::stderr().lock(), "{}", Lines(text));
}

/// A progress bar on standard error, for so many steps; nothing where that is no terminal.
///
/// It is gone when it is dropped, so that what is printed next stands on a clean line.
pub(crate) struct Progress(indicatif::ProgressBar);

impl Progress {
    /// Shows the bar. `doing` says what takes the time, as in "signing".
    pub(crate) fn start(steps: usize, doing: &'static str) -> Self {
        let bar = if io::stderr().is_terminal() {
            indicatif::ProgressBar::new(steps as u64)
        } else {
            indicatif::ProgressBar::hidden()
        };
        if let Ok(style) = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(doing);
        Self(bar)
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Whether there is a terminal to ask at.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line on the terminal, until `read` accepts it; the user reads why it was not accepted. An
/// empty line is `proposed`, if something is.
///
/// # Errors
/// When the user interrupts, or the terminal goes away.
pub(crate) fn ask<T>(
    question: &str,
    proposed: Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        let mut input = dialoguer::Input::<String>::new().with_prompt(Lines(question).to_string());
        if let Some(proposed) = &proposed {
            input = input.default(proposed.clone());
        }
        let line = input.interact_text().map_err(not_asked)?;
        match read(&line) {
            Ok(answer) => return Ok(answer),
            Err(why) => note(&why),
        }
    }
}

/// Asks a question on the terminal; without a terminal the answer is no.
///
/// The answer is a line, not a key: the prompt for keys hides the cursor, and Ctrl-C, which ends
/// the process here, would leave it hidden.
///
/// # Errors
/// When the terminal goes away.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    if !can_ask() {
        return Ok(false);
    }
    let asked = dialoguer::Input::<String>::new()
        .with_prompt(format!("{} [y/N]", Lines(question)))
        .allow_empty(true)
        .interact_text();
    match asked {
        Ok(answer) => Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        )),
        Err(error) => Err(not_asked(error)),
    }
}

/// Why there is no answer.
fn not_asked(dialoguer::Error::IO(error): dialoguer::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::new(Exit::Interrupted, "interrupted"),
        _ => Failure::new(Exit::Failed, "cannot ask on the terminal").because(error),
    }
}

/// A number of bytes for people, without a blank.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string().replace(' ', "")
}

/// Prints a failure and gives its exit code.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    if !failure.is_told() {
        note(&failure.to_string());
    }
    ExitCode::from(failure.exit() as u8)
}

/// Prints clap's verdict: help and version to standard output, mistakes to standard error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _closed = error.print();
    if error.use_stderr() {
        ExitCode::from(Exit::Usage as u8)
    } else {
        ExitCode::SUCCESS
    }
}
