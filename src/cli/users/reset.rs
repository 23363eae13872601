//! `rproxy users reset`.

use super::access::UserAccess;
use super::invited::{self, InvitationTtl};
use super::{Context, Failure, failure, ui};
use crate::cli::format::ReportFormat;

/// Make a new invitation for a person, and remove password, second factor and keys
///
/// For a person who has lost the second factor or the last key, or whose invitation has expired. The
/// person's sign-ins end, and live sessions within a second. Roles and logins stay.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersResetArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
    #[command(flatten)]
    ttl: InvitationTtl,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl UsersResetArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let text = self.reset(context)?;
        invited::warn(context);
        ui::result(&text)
    }

    /// Does it, and gives what is printed.
    pub(super) fn reset(&self, context: &Context) -> Result<String, Failure> {
        let ttl = self.ttl.span()?;
        let invited = UserAccess::to_change(context, &self.person)?
            .admin()
            .reset(&self.person, ttl)
            .map_err(|error| failure::failure(&format!("reset {}", self.person), error))?;
        invited::told(context, &invited, self.format)
    }
}
