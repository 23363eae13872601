//! `rproxy tokens`: what hosts join with.

mod add;
mod ls;
mod rm;
#[cfg(test)]
mod tests;

use super::nodes::{NodeAccess, failure};
use super::{Context, Exit, Failure, ui};

/// Add, list and remove tokens, with which hosts join
///
/// A token lets a host join the inventory, a number of times and for a while. It can force names,
/// labels and a tunnel, which the host cannot choose otherwise. Hosts join with the script that `rproxy
/// nodes script` prints (docs/nodes.md).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokensCommand {
    Add(add::TokensAddArgs),
    Ls(ls::TokensLsArgs),
    Rm(rm::TokensRmArgs),
}

impl TokensCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Add(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Rm(args) => args.run(context),
        }
    }
}
