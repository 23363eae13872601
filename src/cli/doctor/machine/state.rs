//! The state: whether it can be read, and whether its people can sign in.

use std::time::Duration;

use super::super::checks::{PEOPLE, STATE};
use super::super::report::Finding;
use super::files::remedy;
use crate::config::Config;
use crate::model::chain;
use crate::state::{State, StateError, StatePlace, User};
use crate::sys::clock::Clock;
use crate::sys::fs::FsError;

/// A read that takes longer is told: each sign-in reads several times.
const SLOW: Duration = Duration::from_millis(200);
/// Most people whose roles are told.
const MAX_SHOWN: usize = 10;

pub(super) fn examine(config: &Config, findings: &mut Vec<Finding>) {
    let place = match config.state_place() {
        Ok(place) => place,
        Err(error) => {
            let hint = remedy(&error);
            findings.push(Finding::error(&STATE, "", chain(&error), hint));
            return;
        }
    };
    let looked = State::look(&place, Clock::System).and_then(|state| match state {
        Some(state) => Ok(Some((state.check()?, state.users().list()?))),
        None => Ok(None),
    });
    match looked {
        Ok(Some((status, users))) => {
            let took = status.latency.as_millis();
            let detail = format!(
                "{}, schema {}, {}, read in {took} ms",
                status.backend,
                status.schema,
                counted(users.len())
            );
            findings.push(if status.latency > SLOW {
                let hint = "look at the load of the disk or of the database";
                Finding::warning(&STATE, &place, format!("{detail}: slow"), hint)
            } else {
                Finding::ok(&STATE, &place, detail)
            });
            people(config, &users, findings);
        }
        Ok(None) => {
            let detail = "is made, or brought up to date, when the proxy starts";
            findings.push(Finding::ok(&STATE, &place, detail));
        }
        Err(error) => findings.push(unreadable(&place, &error)),
    }
}

fn unreadable(place: &StatePlace, error: &StateError) -> Finding {
    let hint = match error {
        StateError::Fs(fault @ (FsError::TooOpen { .. } | FsError::Owner { .. })) => remedy(fault),
        StateError::Fs(_) => "run the doctor as the account that the proxy runs as".to_owned(),
        StateError::Unreachable { .. } => {
            "start the database, or correct state.url; without it nobody can log in".to_owned()
        }
        StateError::Damaged { .. } => "restore a backup: rproxy state restore FILE".to_owned(),
        StateError::Newer { .. } => "run the newer version of rproxy".to_owned(),
        _ => "the message says what is missing".to_owned(),
    };
    Finding::error(&STATE, place, chain(error), hint)
}

fn counted(users: usize) -> String {
    match users {
        1 => "1 user".to_owned(),
        count => format!("{count} users"),
    }
}

/// What keeps people from signing in, or from going anywhere.
fn people(config: &Config, users: &[User], findings: &mut Vec<Finding>) {
    let has_local = config.auth.authentication.has_local();
    match (has_local, users.len()) {
        (true, 0) => {
            let hint = "add the first one: rproxy users add NAME --roles=ROLE";
            let detail = "there are no users, and authentication.type has \"local\"";
            findings.push(Finding::warning(&PEOPLE, "", detail, hint));
        }
        (false, 1..) => {
            let hint = "set auth_service.authentication.type to local, or remove them";
            let detail = "users of the state cannot sign in: authentication.type has no \"local\"";
            findings.push(Finding::warning(&PEOPLE, "", detail, hint));
        }
        (true, count) => {
            findings.push(Finding::ok(&PEOPLE, "", counted(count)));
        }
        (false, 0) => {}
    }
    for user in users {
        if let Some(line) = config.line_of_user(&user.name) {
            let detail = format!("is in the state, and in line {line} of {}", config.file);
            let hint = format!(
                "remove the line, or the user: rproxy users rm {}",
                user.name
            );
            findings.push(Finding::error(&PEOPLE, &user.name, detail, hint));
        }
    }
    let strangers = users.iter().filter_map(|user| {
        let is_unknown = |role: &&String| config.role(role).is_err();
        Some((user, user.roles.iter().find(is_unknown)?))
    });
    for (user, role) in strangers.take(MAX_SHOWN) {
        let detail = format!("has the role {role:?}, which the configuration does not have");
        let hint = "add the role to the configuration, or remove the user and add them again";
        findings.push(Finding::warning(&PEOPLE, &user.name, detail, hint));
    }
}
