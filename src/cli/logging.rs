//! Where log lines go: standard error (`sys::log`), filtered by `RPROXY_LOG`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure};
use crate::sys::log;

/// The variable that says what is logged: `debug`, or per part, as in `info,audit=off`.
const VARIABLE: &str = "RPROXY_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging for the whole process. Lines wait until [`log::start`].
///
/// # Errors
/// When `RPROXY_LOG` is no filter, or logging was started before.
pub(crate) fn start(format: Format) -> Result<(), Failure> {
    let wrong = || Failure::new(Exit::Usage, format!("{VARIABLE} is not a log filter"));
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| {
            wrong()
                .because(error)
                .hint("expected a level (error, warn, info, debug, trace), or PART=LEVEL,...")
        })?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("info"),
        Err(error) => return Err(wrong().because(error)),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| log::Lines)
        // It would tell standard error, and panic where that cannot be written, as on a full disk:
        // whoever logs something then would end with it.
        .log_internal_errors(false);
    let started = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Internal, "cannot start logging").because(error))
}
