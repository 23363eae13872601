//! The state as these commands need it: open, without a proxy beside them, and in a few words.

use super::stored::{self, state_failure};
use super::{Context, Exit, Failure};
use crate::state::{State, StateStatus};
use crate::sys::fs::FileLock;

/// The state, which has to be there.
pub(super) fn open(context: &Context) -> Result<State, Failure> {
    stored::existing(context)?.ok_or_else(|| {
        Failure::new(Exit::Failed, "there is no state yet")
            .because(match context.config.state_place() {
                Ok(place) => format!("there is none at {place}"),
                Err(error) => error.to_string(),
            })
            .hint("the proxy makes it when it starts; is this the right --config or --data-dir?")
    })
}

/// Keeps a proxy from being started on this data directory until it is dropped.
///
/// # Errors
/// When one runs: what it writes meanwhile would be lost.
pub(super) fn stop_others(context: &Context, doing: &str) -> Result<FileLock, Failure> {
    let refused = || Failure::new(Exit::Failed, format!("cannot {doing} the state"));
    let lock = FileLock::attempt(&context.config.data_dir.serve_lock());
    match lock.map_err(|error| refused().because(error))? {
        Some(lock) => Ok(lock),
        None => Err(refused()
            .because("the proxy runs, and what it writes meanwhile would be lost")
            .hint("stop it first: rproxy stop, or systemctl stop rproxy")),
    }
}

/// What a state has, in a few words.
pub(super) fn summary(status: &StateStatus) -> String {
    let count = |table: &str| {
        let mut rows = status.rows.iter();
        rows.find(|(name, _)| *name == table)
            .map_or(0, |(_, count)| *count)
    };
    format!(
        "{} users, {} certificates, {} revocations",
        count("users"),
        count("issued"),
        count("revocations")
    )
}

/// Looks at a state.
pub(super) fn check(state: &State) -> Result<StateStatus, Failure> {
    let checked = state.check();
    checked.map_err(|error| state_failure("cannot read the state", error))
}
