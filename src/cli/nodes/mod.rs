//! `rproxy nodes`: the hosts of the inventory, from the configuration and those that have joined.

mod access;
pub(super) mod failure;
mod lock;
mod ls;
mod overview;
mod reading;
mod rm;
mod script;
mod show;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use super::{Context, Failure};

pub(super) use access::NodeAccess;
pub(super) use reading::labels;

/// Print the script with which hosts join; list, lock and remove hosts
///
/// Hosts are in the configuration, or have joined with a token of `rproxy tokens add`, and keep their
/// certificate, labels and addresses up to date by themselves (docs/nodes.md). A running proxy needs no
/// signal: what changes here holds at once, and live sessions at hosts that are locked or removed end
/// within a second.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodesCommand {
    Script(script::NodesScriptArgs),
    Ls(ls::NodesLsArgs),
    Show(show::NodesShowArgs),
    Lock(lock::NodesLockArgs),
    Unlock(lock::NodesUnlockArgs),
    Rm(rm::NodesRmArgs),
}

impl NodesCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Script(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Show(args) => args.run(context),
            Self::Lock(args) => args.run(context),
            Self::Unlock(args) => args.run(context),
            Self::Rm(args) => args.run(context),
        }
    }
}
