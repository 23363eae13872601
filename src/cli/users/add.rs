//! `rproxy users add`.

use std::time::Duration;

use super::access::UserAccess;
use super::invited::{self, DEFAULT_TTL, InvitationTtl};
use super::{Context, Exit, Failure, failure, ui};
use crate::cli::format::ReportFormat;
use crate::model::{Login, NameError, UserName};
use crate::people::{NewInvitation, NewPerson};

/// Add a person, and print what they have to do
///
/// The result is a command that the person pastes, and an invitation, which is valid once and until
/// the time that is printed. Send it in a way that only this person can read. The person chooses a
/// password, sets up a second factor, and registers a key.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersAddArgs {
    /// Name of the person: letters, digits and - _ . + @; case does not count
    name: String,
    /// Roles of the configuration that the person has
    #[arg(long, value_name = "ROLE,..", value_delimiter = ',', required = true)]
    roles: Vec<String>,
    /// Accounts on the hosts that the person may use [default: all that the roles allow]
    #[arg(long, value_name = "LOGIN,..", value_delimiter = ',')]
    logins: Vec<String>,
    #[command(flatten)]
    ttl: InvitationTtl,
    /// As text, or as an object
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    format: ReportFormat,
}

impl UsersAddArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let text = self.add(context)?;
        invited::warn(context);
        ui::result(&text)
    }

    /// Does it, and gives what is printed.
    pub(super) fn add(&self, context: &Context) -> Result<String, Failure> {
        let person = self.person(context)?;
        let invited = add(context, person, self.ttl.span()?)?;
        invited::told(context, &invited, self.format)
    }

    /// What was given, checked against the configuration.
    fn person(&self, context: &Context) -> Result<NewPerson, Failure> {
        let config = &context.config;
        let cannot = || Failure::new(Exit::Failed, format!("cannot add {:?}", self.name));
        let name: UserName = self.name.parse().map_err(|error| cannot().because(error))?;
        if let Some(line) = config.line_of_user(&name) {
            return Err(cannot()
                .because(format!(
                    "{} has the name under users in line {line}",
                    config.file
                ))
                .hint("remove it there first: a name is in the configuration or in the state"));
        }
        let roles = read_roles(context, &self.roles).map_err(|why| cannot().because(why))?;
        let logins = read_logins(&self.logins).map_err(|error| cannot().because(error))?;
        Ok(NewPerson {
            name,
            roles,
            logins: (!logins.is_empty()).then(|| distinct(&logins)),
        })
    }
}

/// Adds a person, with an invitation for an hour.
///
/// # Errors
/// When the state or the audit log cannot be written, or has the name already.
pub(in crate::cli) fn invite(
    context: &Context,
    person: NewPerson,
) -> Result<NewInvitation, Failure> {
    add(context, person, DEFAULT_TTL)
}

fn add(context: &Context, person: NewPerson, ttl: Duration) -> Result<NewInvitation, Failure> {
    let name = person.name.clone();
    UserAccess::to_add(context)?
        .admin()
        .add(person, ttl)
        .map_err(|error| failure::failure(&format!("add {name}"), error))
}

/// Roles that the configuration has, each once.
///
/// # Errors
/// It has none of that name; a similar name is named.
pub(super) fn read_roles(context: &Context, roles: &[String]) -> Result<Vec<String>, String> {
    for role in roles {
        context.config.role(role)?;
    }
    Ok(distinct(roles))
}

/// # Errors
/// A name that no account can have.
pub(super) fn read_logins(logins: &[String]) -> Result<Vec<Login>, NameError> {
    logins.iter().map(|login| login.parse()).collect()
}

/// Each once, in the order in which they were given.
pub(super) fn distinct<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for one in all {
        if !kept.contains(one) {
            kept.push(one.clone());
        }
    }
    kept
}
