//! `rproxy users`: the people of the state, who sign in with a key, a password and a second factor.

mod access;
mod add;
mod failure;
pub(super) mod invited;
mod lock;
mod ls;
mod reset;
mod rm;
mod set;
mod show;
mod standing;
#[cfg(test)]
mod tests;

use super::{Context, Exit, Failure, auditing, stored, ui};

pub(super) use add::invite;

/// Add, list, lock and remove people who sign in with a password
///
/// A running proxy needs no signal: what changes here holds at once, and live sessions of people who
/// are locked or removed end within a second. With `auth_service.authentication.type: local`, people
/// sign in with the key of their agent, a password and a second factor (docs/people.md).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum UsersCommand {
    Add(add::UsersAddArgs),
    Ls(ls::UsersLsArgs),
    Show(show::UsersShowArgs),
    Set(set::UsersSetArgs),
    Lock(lock::UsersLockArgs),
    Unlock(lock::UsersUnlockArgs),
    Reset(reset::UsersResetArgs),
    Rm(rm::UsersRmArgs),
}

impl UsersCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Show(args) => args.run(context),
            Self::Set(args) => args.run(context),
            Self::Lock(args) => args.run(context),
            Self::Unlock(args) => args.run(context),
            Self::Reset(args) => args.run(context),
            Self::Rm(args) => args.run(context),
        }
    }
}
