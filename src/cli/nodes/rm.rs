//! `rproxy nodes rm`.

use super::access::NodeAccess;
use super::failure;
use crate::cli::{Context, Failure, ui};

/// Remove a host that has joined
///
/// Live sessions there end within a second, and its tunnel a second later. It can join again, with a
/// token. On the host, `sh join.sh --leave` removes what the script has installed. To refuse its host
/// certificate as well, which is valid until it expires: `rproxy auth revoke --key-id`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesRmArgs {
    /// Name of the host
    #[arg(value_name = "NAME")]
    joined: String,
}

impl NodesRmArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.remove(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn remove(&self, context: &Context) -> Result<String, Failure> {
        let access = NodeAccess::to_change(context)?;
        let access = access.ok_or_else(|| failure::no_such(context, &self.joined))?;
        access
            .nodes()
            .remove(&self.joined)
            .map_err(|error| failure::about(context, "remove", &self.joined, error))?;
        Ok(format!("Removed {}\n", self.joined))
    }
}
