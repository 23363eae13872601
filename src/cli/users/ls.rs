//! `rproxy users ls`.

use serde::Serialize;

use super::access::UserAccess;
use super::standing::UserStanding;
use super::{Context, Failure, failure, ui};
use crate::cli::format::{ListFormat, json_list};
use crate::cli::table::{Cell, Surface, Table};
use crate::state::User;

/// Columns that are cut at a narrow terminal: the logins, the roles, the name.
const YIELDING: &[usize] = &[3, 2, 0];
/// Columns that a narrow terminal does without: when the person was added.
const OPTIONAL: &[usize] = &[4];

/// List the people of the state, by their names
///
/// The state is active, invited (the person has not signed up yet) or locked. People who are in the
/// configuration alone are not listed: they log in with certificates.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersLsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

impl UsersLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::rendered(&self.list(context, Surface::stdout())?)
    }

    /// What is printed on this surface.
    pub(super) fn list(&self, context: &Context, surface: Surface) -> Result<String, Failure> {
        let users = match UserAccess::to_read(context)? {
            Some(access) => access
                .admin()
                .list()
                .map_err(|error| failure::failure("list the users", error))?,
            None => Vec::new(),
        };
        Ok(match self.format {
            ListFormat::Text => table(&users).render(surface),
            ListFormat::Json => json_list(users.iter().map(UserObject::new)),
        })
    }
}

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
pub(super) struct UserObject<'a> {
    name: &'a str,
    state: UserStanding,
    roles: &'a [String],
    logins: Option<Vec<&'a str>>,
    created: String,
    locked: Option<LockObject<'a>>,
    password: bool,
    otp: bool,
    provider: Option<ProviderObject<'a>>,
}

/// The account at the identity provider.
#[derive(Serialize)]
struct ProviderObject<'a> {
    issuer: &'a str,
    subject: &'a str,
}

#[derive(Serialize)]
struct LockObject<'a> {
    since: String,
    reason: &'a str,
    by: &'a str,
}

impl<'a> UserObject<'a> {
    pub(super) fn new(user: &'a User) -> Self {
        Self {
            name: user.name.as_str(),
            state: UserStanding::of(user),
            roles: &user.roles,
            logins: user
                .logins
                .as_ref()
                .map(|logins| logins.iter().map(|login| login.as_str()).collect()),
            created: ui::time(user.created),
            locked: user.locked.as_ref().map(|lock| LockObject {
                since: ui::time(lock.since),
                reason: &lock.reason,
                by: &lock.by,
            }),
            password: user.password,
            otp: user.totp,
            provider: user.provider.as_ref().map(|provider| ProviderObject {
                issuer: &provider.issuer,
                subject: &provider.subject,
            }),
        }
    }
}

/// The logins of a person, for a table.
pub(super) fn logins(user: &User) -> String {
    match &user.logins {
        None => "all".to_owned(),
        Some(logins) => {
            let logins: Vec<&str> = logins.iter().map(|login| login.as_str()).collect();
            logins.join(",")
        }
    }
}

fn table(users: &[User]) -> Table<5> {
    let heads = ["NAME", "STATE", "ROLES", "LOGINS", "ADDED"];
    let mut table = Table::new(heads, YIELDING).without_if_narrow(OPTIONAL);
    for user in users {
        let standing = UserStanding::of(user);
        table.push([
            user.name.as_str().into(),
            Cell::tinted(standing.as_str(), standing.tint()),
            user.roles.join(",").into(),
            logins(user).into(),
            ui::time(user.created).into(),
        ]);
    }
    table
}
