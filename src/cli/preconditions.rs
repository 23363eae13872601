//! The checks of `serve --check` beyond the configuration: the preconditions of `serve` and its worker,
//! without creating or changing anything.

use std::error::Error;
use std::path::Path;

use super::stored::state_failure;
use super::{Exit, Failure};
use crate::access::Pattern;
use crate::ca::CaKind;
use crate::config::Config;
use crate::model::UserName;
use crate::model::text::{self, Printable};
use crate::state::State;
use crate::sys::clock::Clock;
use crate::{auth, monitor, worker};

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
    worker::rehearse(config).map_err(|error| {
        let hint = error.hint();
        cannot_run(Exit::Configuration, error, hint)
    })
}

/// Looks for names that are in the section users and in the state: it would not be clear which of the two
/// is meant.
///
/// # Errors
/// All of them, or why the state cannot be read.
pub(super) fn names_in_both(config: &Config) -> Result<(), Failure> {
    let names: Vec<(usize, UserName)> = config
        .users
        .iter()
        // A pattern is no name.
        .filter_map(|member| Some((member.line, member.name.to_string().parse().ok()?)))
        .collect();
    let cannot = |error| state_failure("the state cannot be read", error).with(Exit::Configuration);
    let place = config.state_place().map_err(|error| cannot(error.into()))?;
    let Some(state) = State::look(&place, Clock::System).map_err(cannot)? else {
        return Ok(());
    };
    let mut both = Vec::new();
    for (line, name) in names {
        if let Some(user) = state.users().get(name.as_str()).map_err(cannot)? {
            both.push(format!(
                "{}:{line}: users: {} is in the state too",
                text::path(Path::new(&config.file)),
                user.name
            ));
        }
    }
    match both.as_slice() {
        [] => Ok(()),
        both => Err(Failure::new(Exit::Configuration, both.join("\n")).hint(
            "a name is in the configuration or in the state: remove its line, or remove it from the \
             state with `rproxy users rm NAME`",
        )),
    }
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
