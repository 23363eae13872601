//! `rproxy nodes`: the hosts of the inventory, from the configuration and those that have joined.

mod access;
pub(super) mod failure;
mod lock;
mod ls;
mod overview;
mod rm;
mod script;
mod show;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use super::inventory::HostList;
use super::{Context, Exit, Failure, auditing, stored, ui};
use crate::model::{Label, LabelError};

pub(super) use access::NodeAccess;

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

/// The values of `--labels`.
///
/// # Errors
/// One that is no `key=value`.
pub(super) fn labels(given: &[String]) -> Result<Vec<Label>, Failure> {
    let labels = given.iter().map(|label| label.parse());
    labels.collect::<Result<_, LabelError>>().map_err(|error| {
        Failure::new(Exit::Usage, "cannot use the value of --labels").because(error)
    })
}

/// The hosts of the inventory. That they are read is audited before, if there is a state. `how` is the
/// command, and `node` the name that is asked for.
fn read_hosts(
    context: &Context,
    how: &'static str,
    node: Option<&str>,
) -> Result<HostList, Failure> {
    match NodeAccess::to_read(context, how, node)? {
        Some(access) => access
            .hosts(context)
            .map_err(|error| stored::state_failure("cannot read the nodes", error)),
        None => Ok(HostList::without_state(&context.config)),
    }
}
