//! What `serve --check` looks at beside the configuration: the preconditions that `serve` and its worker go
//! through when they start, without making or changing anything.

use std::error::Error;

use super::{Exit, Failure};
use crate::config::Config;
use crate::{daemon, monitor};

/// Goes through them.
///
/// # Errors
/// The first that does not hold, in the words of `serve`.
pub(super) fn rehearse(config: &Config) -> Result<(), Failure> {
    monitor::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })?;
    daemon::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })
}

/// Why the proxy does not start.
pub(super) fn cannot_run(
    exit: Exit,
    error: impl Error + Send + Sync + 'static,
    hint: Option<String>,
) -> Failure {
    let failure = Failure::new(exit, "the proxy cannot run").because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
