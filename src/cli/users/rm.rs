//! `rproxy users rm`.

use super::access::UserAccess;
use super::lock::sign_ins;
use super::{Context, Failure, failure, ui};

/// Remove a person
///
/// The person's sign-ins end, and live sessions within a second. Password, second factor and keys are
/// removed. Recordings and the audit log keep the name.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersRmArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
}

impl UsersRmArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.remove(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn remove(&self, context: &Context) -> Result<String, Failure> {
        let ended = UserAccess::to_change(context, &self.person)?
            .admin()
            .remove(&self.person)
            .map_err(|error| failure::failure(&format!("remove {}", self.person), error))?;
        Ok(format!("Removed {}{}\n", self.person, sign_ins(ended)))
    }
}
