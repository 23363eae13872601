//! `rproxy nodes lock` and `rproxy nodes unlock`.

use super::access::NodeAccess;
use super::failure;
use crate::cli::{Context, Failure, ui};
use crate::session::Reason;

/// Lock a host that has joined
///
/// Live sessions there end within a second, and its tunnel a second later. Nobody can log in to it through
/// the proxy, and it gets no new certificate. It stays in the inventory, for `rproxy nodes unlock`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesLockArgs {
    /// Name of the host
    #[arg(value_name = "NAME")]
    joined: String,
    /// Why, in one line, for the audit log and `rproxy nodes show`
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
}

impl NodesLockArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.lock(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn lock(&self, context: &Context) -> Result<String, Failure> {
        let reason = self.reason.as_ref().map(ToString::to_string);
        let access = NodeAccess::to_change(context)?;
        let access = access.ok_or_else(|| failure::no_such(context, &self.joined))?;
        access
            .nodes()
            .lock(&self.joined, reason.as_deref())
            .map_err(|error| failure::about(context, "lock", &self.joined, error))?;
        Ok(format!("Locked {}\n", self.joined))
    }
}

/// Let users log in to a locked host again
#[derive(Debug, clap::Args)]
pub(crate) struct NodesUnlockArgs {
    /// Name of the host
    #[arg(value_name = "NAME")]
    joined: String,
}

impl NodesUnlockArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.unlock(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn unlock(&self, context: &Context) -> Result<String, Failure> {
        let access = NodeAccess::to_change(context)?;
        let access = access.ok_or_else(|| failure::no_such(context, &self.joined))?;
        access
            .nodes()
            .unlock(&self.joined)
            .map_err(|error| failure::about(context, "unlock", &self.joined, error))?;
        Ok(format!("Unlocked {}\n", self.joined))
    }
}
