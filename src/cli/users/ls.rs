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

/// How many people a table has, if nothing is said: a list that is longer is not read as a whole.
const PAGE: usize = 200;

/// List the people of the state, by their names
///
/// A table has 200 of them at most, and says whether more come after these. The state is active, invited
/// (the person has not signed up yet) or locked. People who are in the configuration alone are not
/// listed: they log in with certificates.
#[derive(Debug, clap::Args)]
pub(crate) struct UsersLsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
    /// Only people whose names come after this one
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    after: String,
    /// How many at most
    ///
    /// 0 means all of them, which is what JSON has if nothing is said.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl UsersLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::rendered(&self.list(context, Surface::stdout())?)
    }

    /// What is printed on this surface.
    pub(super) fn list(&self, context: &Context, surface: Surface) -> Result<String, Failure> {
        let limit = match (self.limit, self.format) {
            (Some(0), _) | (None, ListFormat::Json) => usize::MAX,
            (Some(limit), _) => limit,
            (None, ListFormat::Text) => PAGE,
        };
        let (users, has_more) = match UserAccess::to_read(context, "ls", None)? {
            Some(access) => access
                .admin()
                .page(&self.after, limit)
                .map_err(|error| failure::failure("list the users", error))?,
            None => (Vec::new(), false),
        };
        Ok(match self.format {
            ListFormat::Text => {
                let rest = users.last().filter(|_| has_more).map(|last| {
                    let name = &last.name;
                    format!("and more: --after={name} lists the next ones, --limit=0 all\n")
                });
                table(&users).render(surface) + &rest.unwrap_or_default()
            }
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
