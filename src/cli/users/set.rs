//! `rproxy users set`.

use super::access::UserAccess;
use super::add::{distinct, read_logins, read_roles};
use super::ls::logins;
use super::{Context, Exit, Failure, failure, ui};
use crate::people::AccessChange;

/// Give a person other roles or logins
///
/// What is given replaces what the person had; the rest stays. Live sessions are judged again: those that
/// the new roles and logins do not allow end within a second, and the person reads why. Sign-ins go on.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
pub(crate) struct UsersSetArgs {
    /// Name of the person
    #[arg(value_name = "NAME")]
    person: String,
    /// Roles of the configuration that the person has from now on
    #[arg(long, value_name = "ROLE,..", value_delimiter = ',', group = "change")]
    roles: Vec<String>,
    /// Accounts on the hosts that the person may use from now on
    #[arg(long, value_name = "LOGIN,..", value_delimiter = ',', group = "change")]
    logins: Vec<String>,
    /// The person may use all accounts that the roles allow
    #[arg(long, group = "change", conflicts_with = "logins")]
    all_logins: bool,
}

impl UsersSetArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::result(&self.set(context)?)
    }

    /// Does it, and gives what is printed.
    pub(super) fn set(&self, context: &Context) -> Result<String, Failure> {
        let cannot = || Failure::new(Exit::Failed, format!("cannot change {}", self.person));
        let roles = match self.roles.is_empty() {
            true => None,
            false => Some(read_roles(context, &self.roles).map_err(|why| cannot().because(why))?),
        };
        let allowed = match (self.all_logins, self.logins.is_empty()) {
            (true, _) => Some(None),
            (false, true) => None,
            (false, false) => {
                let read = read_logins(&self.logins).map_err(|error| cannot().because(error))?;
                Some(Some(distinct(&read)))
            }
        };
        let user = UserAccess::to_change(context, &self.person)?
            .admin()
            .set_access(
                &self.person,
                AccessChange {
                    roles,
                    logins: allowed,
                },
            )
            .map_err(|error| failure::failure(&format!("change {}", self.person), error))?;
        Ok(format!(
            "Changed {}: roles {}; logins {}\n",
            user.name,
            user.roles.join(", "),
            logins(&user)
        ))
    }
}
