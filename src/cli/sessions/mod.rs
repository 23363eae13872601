//! `rproxy sessions`: lists, watches and ends the live sessions of the running proxy.

pub(super) mod find;
mod kill;
mod ls;
pub(super) mod refused;
mod watch;

use super::{Context, Failure};

/// List, watch and end live sessions
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SessionsCommand {
    Ls(ls::SessionsLsArgs),
    Watch(watch::SessionsWatchArgs),
    Kill(kill::SessionsKillArgs),
}

impl SessionsCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Ls(args) => args.run(context),
            Self::Watch(args) => args.run(context),
            Self::Kill(args) => args.run(context),
        }
    }
}
