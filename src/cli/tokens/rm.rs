//! `rproxy tokens rm`.

use uuid::Uuid;

use super::{Context, Failure, NodeAccess, failure, ui};

/// Remove a token
///
/// No host joins with it any more. Hosts that have joined with it stay: `rproxy nodes rm` removes them.
#[derive(Debug, clap::Args)]
pub(crate) struct TokensRmArgs {
    /// The id of the token, as `rproxy tokens ls` lists it
    #[arg(value_name = "TOKEN-ID")]
    token: Uuid,
}

impl TokensRmArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.remove(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn remove(&self, context: &Context) -> Result<String, Failure> {
        let access =
            NodeAccess::to_change(context)?.ok_or_else(|| failure::no_token(self.token))?;
        access
            .tokens()
            .remove(self.token)
            .map_err(|error| failure::failure("remove the token", error))?;
        Ok(format!("Removed the token {}\n", self.token))
    }
}
