//! `join`: the live sessions that the client may join, and one of them on the client's terminal.
//!
//! `find` looks for sessions that the policy lets the client join, and knows no others. `sitting`
//! connects the client's channel with the session; what is shown is made in `view`, and what typed
//! bytes mean is decided in `keys`, both without a stream. What is typed goes to the session only
//! where the policy says `type`, and nothing else that the client sends goes there.

mod find;
mod keys;
mod sitting;
mod view;

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use self::find::{Found, NotFound};
use self::sitting::{Ended, Sitting};
use super::context::ProgramContext;
use super::failure::{FAILED, ProgramError};
use super::session::ProgramSession;
use crate::access::{Identity, JoinMode};
use crate::session::{JoinRefusal, JoinRequest, Joiner, LiveConnection, Participation};
use crate::ssh::policy_monitor::PolicyMonitor;
use crate::ssh::refusal::Origin;
use crate::ssh::settings::Settings;

/// `join` without a session; its exit status.
pub(super) async fn list_sessions(
    context: &ProgramContext,
    session: &mut ProgramSession,
    as_json: bool,
) -> io::Result<u32> {
    let rows = find::rows(context);
    if as_json {
        let json = serde_json::to_string(&rows).map_err(io::Error::other)?;
        session.print(&format!("{json}\n")).await?;
    } else if rows.is_empty() {
        session.complain("there is no live session here that you may join\n");
        return Ok(FAILED);
    } else {
        session.print(&find::table(&rows)).await?;
    }
    Ok(0)
}

/// `join SESSION`; its exit status.
pub(super) async fn join(
    context: &ProgramContext,
    session: &mut ProgramSession,
    wanted: &str,
    observes: bool,
) -> Result<u32, ProgramError> {
    let found = find::one(context, wanted).map_err(|error| unusable(context, wanted, &error))?;
    if !session.can_ask() {
        return Err(ProgramError::Unusable(format!(
            "a session is shown on a terminal: {} join {wanted}",
            context.command("-t")
        )));
    }
    let mode = match observes {
        true => JoinMode::Observe,
        false => found.grant.mode(),
    };
    let participation = participate(context, &found, mode).await?;
    let unwelcome = monitor(context).unwelcome(judge(context, &found.connection, mode));
    let sitting = Sitting::new(&found, mode, session.terminal_size());
    match sitting.run(session, &participation, unwelcome).await? {
        Ended::Session | Ended::Left => Ok(0),
        Ended::Unwelcome(_) => Ok(FAILED),
    }
}

/// Asks the session's connection.
async fn participate(
    context: &ProgramContext,
    found: &Found,
    mode: JoinMode,
) -> Result<Participation, ProgramError> {
    let (reply, answer) = oneshot::channel();
    let joiner = Joiner {
        user: context.caller.identity.name().to_owned(),
        client: context.caller.address,
        connection: context.connection,
        mode,
        rule: found.grant.rule().to_string(),
    };
    let request = JoinRequest {
        session: found.session.id,
        joiner,
        reply,
    };
    let asked = found.connection.join(request);
    let refused = |refusal: JoinRefusal| ProgramError::Unusable(refusal.to_string());
    asked.map_err(refused)?;
    match answer.await {
        Ok(answer) => answer.map_err(refused),
        Err(_dropped) => Err(refused(JoinRefusal::Ended)),
    }
}

/// Watches whether the client may stay.
fn monitor(context: &ProgramContext) -> PolicyMonitor {
    let origin = Origin {
        client: context.caller.address,
        connection: context.connection,
        user: Some(context.caller.identity.name().to_owned()),
        login: None,
        target: None,
    };
    let identity = context.caller.identity.clone();
    PolicyMonitor::new(&context.services.policy, identity, origin)
}

/// Decides again whether the client may join the session, in this mode.
fn judge(
    context: &ProgramContext,
    connection: &Arc<LiveConnection>,
    mode: JoinMode,
) -> impl Fn(&Settings, &Identity) -> Result<(), String> {
    let (inner, from) = (Arc::clone(&context.services.inner), context.from());
    let connection = Arc::clone(connection);
    move |settings, identity| {
        let router = &inner.router;
        match router.judge_join(settings, (identity, from), &connection) {
            Ok(grant) if grant.mode() < mode => {
                Err("you may still see this session, and no longer type into it".to_owned())
            }
            Ok(_) => Ok(()),
            // The client does not read which rule it is.
            Err(_) => Err("you may no longer join this session".to_owned()),
        }
    }
}

fn unusable(context: &ProgramContext, wanted: &str, error: &NotFound) -> ProgramError {
    let list = format!(
        "{} join",
        context.reached().ssh_as(context.caller.identity.name())
    );
    ProgramError::Unusable(error.text(wanted, &list))
}
