//! The state, for commands.

use super::{Context, Exit, Failure, existing_data_dir};
use crate::state::{State, StateError, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::{FsError, check_private};

/// The state, if there is one already.
///
/// # Errors
/// When it cannot be opened, with a hint.
pub(super) fn existing(context: &Context) -> Result<Option<State>, Failure> {
    match State::open_existing(&place(context)?, Clock::System) {
        Ok(state) => Ok(Some(state)),
        Err(StateError::Missing { .. }) => Ok(None),
        Err(error) => Err(cannot_open(error)),
    }
}

/// The state, which is made where there is none.
///
/// # Errors
/// When it cannot be opened or made, with a hint. Nothing is made in a directory of another account,
/// which could not write it afterwards.
pub(super) fn made(context: &Context) -> Result<State, Failure> {
    let place = place(context)?;
    if let StatePlace::Sqlite(_) = place {
        let data_dir = existing_data_dir(context)?;
        check_private(data_dir).map_err(|fault| cannot_open(fault.into()))?;
    }
    State::open(&place, Clock::System).map_err(cannot_open)
}

/// The failure of something that was done with the state, with a hint.
pub(super) fn state_failure(message: &str, error: StateError) -> Failure {
    let hint = match &error {
        StateError::Fs(FsError::Owner { owner, .. }) => Some(format!(
            "run this as the account that the proxy runs as: sudo -u '#{owner}' rproxy ..."
        )),
        StateError::Fs(FsError::TooOpen { path, mode }) => Some(format!(
            "chmod {:04o} {}",
            mode & 0o700,
            crate::model::text::path(path)
        )),
        StateError::Unreachable { .. } => {
            Some("`rproxy state status` says whether the database can be reached".to_owned())
        }
        _ => None,
    };
    let failure = Failure::new(Exit::Failed, message).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn place(context: &Context) -> Result<StatePlace, Failure> {
    context
        .config
        .state_place()
        .map_err(|error| state_failure("cannot read state.password_file", error.into()))
}

fn cannot_open(error: StateError) -> Failure {
    state_failure("cannot open the state", error)
}
