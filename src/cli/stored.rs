//! The state, for commands.

use super::{Context, Exit, Failure, existing_data_dir};
use crate::state::{State, StateError, StatePlace};
use crate::sys::clock::Clock;
use crate::sys::fs::{FileLock, FsError, check_private};

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

/// The state, which is made where there is none. An older one is brought up to date if no proxy runs on
/// this data directory: one that runs could be of the version that made it.
///
/// # Errors
/// When it cannot be opened or made, with a hint. Nothing is made in a directory of another account,
/// which could not write it afterwards.
pub(super) fn made(context: &Context) -> Result<State, Failure> {
    let place = place(context)?;
    let _no_proxy = match State::open_existing(&place, Clock::System) {
        Ok(state) => return Ok(state),
        Err(StateError::Missing { .. }) => {
            if let StatePlace::Sqlite(_) = place {
                let data_dir = existing_data_dir(context)?;
                check_private(data_dir).map_err(|fault| cannot_open(fault.into()))?;
            }
            None
        }
        Err(older @ StateError::Older { .. }) => {
            let lock = FileLock::attempt(&context.config.data_dir.serve_lock());
            let lock = lock.map_err(|fault| cannot_open(fault.into()))?;
            Some(lock.ok_or_else(|| {
                cannot_open(older).hint("restart the proxy that runs: systemctl restart rproxy")
            })?)
        }
        Err(error) => return Err(cannot_open(error)),
    };
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::state::testing::write_as;

    fn context(data_dir: &Path) -> Context {
        let text = "cluster_name: example.com\n";
        let loaded = config::parse(Path::new("f"), text, Some(data_dir)).unwrap();
        Context {
            config: loaded.config,
            warnings: loaded.warnings,
        }
    }

    #[test]
    fn an_older_state_is_brought_up_unless_a_proxy_may_use_it() {
        let directory = crate::sys::fs::private_tempdir();
        let context = context(directory.path());
        write_as(1, &context.config.state_place().unwrap());
        let proxy = FileLock::attempt(&context.config.data_dir.serve_lock());
        let proxy = proxy.unwrap().unwrap();
        let refused = made(&context).unwrap_err().to_string();
        assert!(refused.contains("schema 1"), "{refused}");
        assert!(refused.contains("restart the proxy"), "{refused}");
        assert!(existing(&context).is_err(), "nothing has changed");
        drop(proxy);
        let state = made(&context).unwrap();
        assert!(state.users().get("alice").unwrap().is_some());
        assert!(existing(&context).unwrap().is_some());
        // The state of this version is used beside a proxy.
        let _proxy = FileLock::attempt(&context.config.data_dir.serve_lock());
        made(&context).unwrap();
    }
}
