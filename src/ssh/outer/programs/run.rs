//! Runs a program to its end.

use std::io;

use super::call::{ProgramCall, ProgramName};
use super::context::ProgramContext;
use super::session::ProgramSession;
use super::{help, list, status};

/// The exit status of a program that has failed.
const FAILED: u32 = 1;
/// The exit status for arguments that a program does not take.
const MISUSED: u32 = 2;

/// Runs a program. The audit log has the event when the client reads the exit status.
pub(super) async fn run(context: ProgramContext, mut session: ProgramSession, call: ProgramCall) {
    let ended = match call {
        ProgramCall::Help => session.print(&help::text(&context)).await.map(|()| 0),
        ProgramCall::List { as_json } => list_hosts(&context, &mut session, as_json).await,
        ProgramCall::Status => {
            let text = status::of_identity(&context);
            session.print(&text).await.map(|()| 0)
        }
    };
    // A client that is gone has no exit status.
    let exit_status = ended.ok();
    context.audit(call.name(), exit_status);
    if let Some(status) = exit_status {
        session.exit(status);
    }
}

/// Answers a call with arguments that the program does not take.
pub(super) fn explain(context: &ProgramContext, session: ProgramSession, program: ProgramName) {
    session.complain(&format!("usage: {}\n", program.usage()));
    context.audit(program, Some(MISUSED));
    session.exit(MISUSED);
}

/// `ls`; its exit status.
async fn list_hosts(
    context: &ProgramContext,
    session: &mut ProgramSession,
    as_json: bool,
) -> io::Result<u32> {
    let hosts = list::open_hosts(context).await;
    if as_json {
        let json = serde_json::to_string(&hosts).map_err(io::Error::other)?;
        session.print(&format!("{json}\n")).await?;
    } else if hosts.is_empty() {
        session.complain("no host of this proxy's list is open to you from here\n");
        return Ok(FAILED);
    } else {
        session.print(&list::table(&hosts)).await?;
    }
    Ok(0)
}
