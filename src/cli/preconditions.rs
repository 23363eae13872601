//! The checks of `serve --check` beyond the configuration: the preconditions of `serve` and its worker,
//! without creating or changing anything.

use std::error::Error;
use std::path::Path;

use super::inventory::HostList;
use super::stored::state_failure;
use super::{Exit, Failure};
use crate::access::Pattern;
use crate::ca::CaKind;
use crate::config::Config;
use crate::model::UserName;
use crate::model::text::{self, Printable};
use crate::state::{State, StateError};
use crate::sys::clock::Clock;
use crate::{auth, monitor, web_service, worker};

/// Goes through them.
///
/// # Errors
/// The first that does not hold, in the words of `serve`.
pub(super) fn rehearse(config: &Config) -> Result<(), Failure> {
    monitor::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })?;
    auth::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })?;
    web_service::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })?;
    worker::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })
}

/// Looks for names that the configuration and the state both have, of users and of hosts: people may mean the
/// other one. Of a host, each of its names is looked at, and the DNS name that a host of the configuration is
/// dialled by.
///
/// # Errors
/// All of them, or why the state cannot be read.
pub(super) fn names_in_both(config: &Config) -> Result<(), Failure> {
    let cannot = |error| state_failure("the state cannot be read", error).with(Exit::Configuration);
    let place = config.state_place().map_err(|error| cannot(error.into()))?;
    let Some(state) = State::look(&place, Clock::System).map_err(cannot)? else {
        return Ok(());
    };
    let users = users_in_both(config, &state).map_err(cannot)?;
    let hosts = HostList::of(config, &state).map_err(cannot)?;
    let file = text::path(Path::new(&config.file));
    let nodes = hosts.clashes(config)?.into_iter();
    let nodes: Vec<String> = nodes
        .map(|clash| format!("{file}: nodes: {clash}"))
        .collect();
    let all = [users.clone(), nodes.clone()].concat();
    if all.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Configuration, all.join("\n"));
    if !users.is_empty() {
        failure = failure.hint(
            "a name is in the configuration or in the state: remove its line, or remove it from the \
             state with `rproxy users rm NAME`",
        );
    }
    if !nodes.is_empty() {
        failure = failure.hint(
            "a host is in the configuration or has joined: remove its line, or give it another name \
             there, or remove the one that has joined with `rproxy nodes rm NAME`",
        );
    }
    Err(failure)
}

/// A line for each user that both have.
fn users_in_both(config: &Config, state: &State) -> Result<Vec<String>, StateError> {
    let mut both = Vec::new();
    for member in &config.users {
        // A pattern is no name.
        let Ok(name) = member.name.to_string().parse::<UserName>() else {
            continue;
        };
        if let Some(user) = state.users().get(name.as_str())? {
            both.push(format!(
                "{}:{}: users: {} is in the state too",
                text::path(Path::new(&config.file)),
                member.line,
                user.name
            ));
        }
    }
    Ok(both)
}

/// Warnings of users and logins in the configuration that no certificate issued here has.
/// None where none was issued: then the people are not known.
pub(super) fn strangers(config: &Config) -> Vec<String> {
    let records = config.installation(Clock::System).records;
    let issued = records.issued.issued().unwrap_or_default();
    let issued: Vec<_> = issued
        .iter()
        .filter(|one| one.kind == CaKind::User)
        .collect();
    if issued.is_empty() {
        return Vec::new();
    }
    let is_user = |name: &Pattern| issued.iter().any(|one| name.matches(&one.key_id));
    let is_login = |login: &Pattern| {
        let mut logins = issued.iter().flat_map(|one| &one.principals);
        logins.any(|one| login.matches(one))
    };
    let warn = |line: usize, what: &str, name: &Pattern| {
        let name = name.to_string();
        format!(
            "{}:{line}: warning: {what} {} is in no certificate that was issued here",
            text::path(Path::new(&config.file)),
            Printable(&name)
        )
    };
    let mut warnings = Vec::new();
    for role in &config.roles {
        for rule in role.allow.iter().flatten().chain(&role.deny) {
            let strangers = rule.logins.iter().flatten().filter(|one| !is_login(one));
            warnings.extend(strangers.map(|login| (rule.line, warn(rule.line, "login", login))));
        }
    }
    let strangers = config.users.iter().filter(|member| !is_user(&member.name));
    warnings.extend(strangers.map(|member| (member.line, warn(member.line, "user", &member.name))));
    warnings.sort_by_key(|(line, _)| *line);
    warnings.into_iter().map(|(_, warning)| warning).collect()
}

/// Why the proxy does not start.
pub(super) fn cannot_run(
    exit: Exit,
    error: impl Error + Send + Sync + 'static,
    hint: Option<String>,
) -> Failure {
    let failure = Failure::new(exit, "the proxy cannot run").because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
