//! `rproxy state`: looks at the state, backs it up, restores it, and moves it to another database.

mod backup;
mod migrate;
mod restore;
mod status;
#[cfg(test)]
mod tests;

use super::stored::{self, state_failure};
use super::{Context, Exit, Failure, ui};
use crate::state::{State, StateStatus};
use crate::sys::fs::FileLock;

/// Look at the state, back it up, restore it, move it to another database
///
/// The state has the users, their sign-ins, the certificates that were issued and what is revoked. It is
/// the file state.db in the data directory, or a PostgreSQL database (state.url).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StateCommand {
    Status(status::StateStatusArgs),
    Backup(backup::StateBackupArgs),
    Restore(restore::StateRestoreArgs),
    Migrate(migrate::StateMigrateArgs),
}

impl StateCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.done(context)?)
    }

    /// Does it all and gives what is printed.
    fn done(self, context: &Context) -> Result<String, Failure> {
        match self {
            Self::Status(args) => args.show(context),
            Self::Backup(args) => args.write(context),
            Self::Restore(args) => args.restore(context),
            Self::Migrate(args) => args.copy(context),
        }
    }
}

/// The state, which has to be there.
fn open(context: &Context) -> Result<State, Failure> {
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
fn stop_others(context: &Context, doing: &str) -> Result<FileLock, Failure> {
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
fn summary(status: &StateStatus) -> String {
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
fn check(state: &State) -> Result<StateStatus, Failure> {
    let checked = state.check();
    checked.map_err(|error| state_failure("cannot read the state", error))
}
