//! States that tests do not share.

use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

use super::NOW;
use crate::state::{State, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::private_tempdir;

/// A new state that nobody else has, in a directory that goes away with it.
pub(crate) struct OwnState {
    state: State,
    _directory: TempDir,
}

impl Deref for OwnState {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// A new state that nobody else has, at [`NOW`].
pub(crate) fn own_state() -> OwnState {
    let directory = private_tempdir();
    OwnState {
        state: state_at(directory.path(), NOW),
        _directory: directory,
    }
}

/// The state in a directory, at a time.
pub(crate) fn state_at(directory: &Path, now: u64) -> State {
    let place = StatePlace::Sqlite(directory.join("state.db"));
    State::open(&place, Clock::Fixed(now)).unwrap()
}
