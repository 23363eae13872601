//! `rproxy state`: looks at the state, backs it up, restores it, and moves it to another database.

mod backup;
mod migrate;
mod opening;
mod restore;
mod status;
#[cfg(test)]
mod tests;

use super::{Context, Exit, Failure, auditing, stored, ui};

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
