//! The state: whether it can be read, and whether its people can sign in.

use std::time::Duration;

use super::super::checks::{PEOPLE, STATE, STATE_CLOCK, STATE_PROMISE, STATE_SPACE};
use super::super::report::Finding;
use super::files::remedy;
use super::system::disk;
use crate::cli::ui;
use crate::config::Config;
use crate::model::{chain, format_duration};
use crate::state::{State, StateError, StatePlace, StateServer, User};
use crate::sys::clock::Clock;
use crate::sys::fs::FsError;

/// A read that takes longer is told: each sign-in reads several times.
const SLOW: Duration = Duration::from_millis(200);
/// By how many seconds a server's clock may differ: the question takes time too.
const TOLERANCE: u64 = 5;
/// Most people whose roles are told.
const MAX_SHOWN: usize = 10;

pub(super) fn examine(config: &Config, now: u64, findings: &mut Vec<Finding>) {
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
                "{}, schema {}, {}, {}, read in {took} ms",
                status.backend,
                status.schema,
                ui::size(status.bytes),
                counted(users.len())
            );
            findings.push(if status.latency > SLOW {
                let hint = "look at the load of the disk or of the database";
                Finding::warning(&STATE, &place, format!("{detail}: slow"), hint)
            } else {
                Finding::ok(&STATE, &place, detail)
            });
            findings.extend(status.server.as_ref().map(|server| promise(&place, server)));
            findings.extend(
                status
                    .server
                    .as_ref()
                    .map(|server| clock(&place, server, now)),
            );
            if let StatePlace::Sqlite(file) = &place {
                findings.extend(disk(&STATE_SPACE, file));
            }
            people(config, &users, findings);
        }
        Ok(None) => {
            let detail = "is made, or brought up to date, when the proxy starts";
            findings.push(Finding::ok(&STATE, &place, detail));
        }
        Err(error) => findings.push(unreadable(&place, &error)),
    }
}

/// Whether what the server has confirmed survives its crash.
fn promise(place: &StatePlace, server: &StateServer) -> Finding {
    let setting = &server.synchronous_commit;
    let detail = format!("synchronous_commit is {setting}");
    match setting.as_str() {
        "on" | "remote_apply" | "remote_write" => Finding::ok(&STATE_PROMISE, place, detail),
        _ => {
            let detail = format!(
                "{detail}: a standby that takes over can lack what was revoked or spent last"
            );
            let hint = "if there is a standby: ALTER ROLE .. SET synchronous_commit = on";
            Finding::warning(&STATE_PROMISE, place, detail, hint)
        }
    }
}

/// Whether this machine and the server agree on the time.
fn clock(place: &StatePlace, server: &StateServer, now: u64) -> Finding {
    let apart = server.clock.abs_diff(now);
    if apart <= TOLERANCE {
        let detail = format!("{apart} s from this machine's");
        return Finding::ok(&STATE_CLOCK, place, detail);
    }
    let direction = if server.clock > now {
        "ahead of"
    } else {
        "behind"
    };
    let apart = format_duration(Duration::from_secs(apart));
    let detail = format!("the server's clock is {apart} {direction} this machine's");
    let hint = "have both clocks kept: each proxy judges codes, invitations and sign-ins by its own \
                clock";
    Finding::warning(&STATE_CLOCK, place, detail, hint)
}

fn unreadable(place: &StatePlace, error: &StateError) -> Finding {
    let hint = match error {
        StateError::Fs(fault @ (FsError::TooOpen { .. } | FsError::Owner { .. })) => remedy(fault),
        StateError::Fs(_) => "run the doctor as the account that the proxy runs as".to_owned(),
        StateError::Unreachable { .. } => {
            "start the database, or correct state.url; without it nobody can log in".to_owned()
        }
        StateError::Damaged { .. } => "restore a backup: rproxy state restore FILE".to_owned(),
        StateError::Unsafe { .. } => {
            "ALTER ROLE .. SET synchronous_commit = on, for the role in state.url".to_owned()
        }
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

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_server_is_judged_by_its_clock_and_its_promise() {
        let place = StatePlace::Sqlite("state.db".into());
        let server = |clock, setting: &str| StateServer {
            clock,
            synchronous_commit: setting.to_owned(),
        };
        let now = 1_800_000_000_u64;
        for (apart, status) in [
            (0, Status::Ok),
            (5, Status::Ok),
            (-5, Status::Ok),
            (6, Status::Warning),
            (-90, Status::Warning),
        ] {
            let server = server(now.saturating_add_signed(apart), "on");
            let finding = clock(&place, &server, now);
            assert_eq!(finding.status, status, "{finding}");
        }
        let finding = clock(&place, &server(now - 90, "on"), now).to_string();
        assert!(finding.contains("1m30s behind"), "{finding}");
        for (setting, status) in [
            ("on", Status::Ok),
            ("remote_apply", Status::Ok),
            ("local", Status::Warning),
        ] {
            let finding = promise(&place, &server(now, setting));
            assert_eq!(finding.status, status, "{finding}");
        }
    }
}
