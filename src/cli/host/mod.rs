//! `rproxy host`: sets up a host of the fleet.

mod setup;
mod sshd;
#[cfg(test)]
mod tests;

use super::{Context, Exit, Failure, host_files, ui};

/// Prepare a host for the proxy
#[derive(Debug, clap::Subcommand)]
pub(crate) enum HostCommand {
    Setup(setup::HostSetupArgs),
}

impl HostCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Setup(args) => args.run(context),
        }
    }
}
