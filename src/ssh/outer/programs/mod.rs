//! The programs of the outer connection: `ssh NAME@PROXY help`, and so on.
//!
//! A program is a task with the channel of its session. `call` reads the command line, `run` runs
//! what it names; each program that is more than a line is a file of its own.

mod call;
mod context;
mod failure;
mod help;
mod join;
mod line;
mod list;
mod login;
mod own;
mod run;
mod session;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::call::{NotACall, ProgramCall};
use self::context::ProgramContext;
use self::run::{explain, run};
use self::session::ProgramSession;
use super::front::Front;
use super::target;
use crate::ssh::endpoint::PendingSession;
use crate::wire::connection::EXIT_REFUSED;

/// The exit status for a command that does not exist, as shells have it.
const EXIT_UNKNOWN: u32 = 127;

/// A shell: at a terminal `help`, because a user reads it there.
pub(super) fn shell(front: &Front, session: PendingSession) {
    match session.has_terminal && front.leaving().is_none() {
        true => start(front, session, ProgramCall::Help),
        false => target::no_program(front, session, EXIT_REFUSED),
    }
}

/// A command: the program that it names.
pub(super) fn exec(front: &Front, session: PendingSession, command: &Bytes) {
    match ProgramCall::parse(command) {
        _ if front.leaving().is_some() => target::no_program(front, session, EXIT_REFUSED),
        Ok(call) => start(front, session, call),
        Err(NotACall::Unknown) => target::no_program(front, session, EXIT_UNKNOWN),
        Err(NotACall::Arguments(program)) => {
            explain(
                &context(front, false),
                ProgramSession::new(session),
                program,
            );
        }
    }
}

fn start(front: &Front, session: PendingSession, call: ProgramCall) {
    let context = context(front, session.forwards_agent);
    let session = ProgramSession::new(session);
    front.tasks.spawn(run(context, session, call));
}

fn context(front: &Front, forwards_agent: bool) -> ProgramContext {
    ProgramContext {
        services: front.services.clone(),
        caller: front.caller.clone(),
        connection: front.id,
        scope: front.scope.clone(),
        agent: forwards_agent.then(|| front.agent_opener.clone()),
    }
}
