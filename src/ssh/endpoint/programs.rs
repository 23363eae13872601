//! The requests on a session that ends here, and the programs that it can be used for (RFC 4254, 6).

use bytes::Bytes;

use super::session::PendingSession;
use crate::wire::connection::{AGENT_REQ, AGENT_REQ_OPENSSH, Breach, Fields, KEEP_ALIVE};

/// What sessions can be used for, where they end here. Each service that is asked for by the name of
/// a program, a subsystem or a listener begins in one of these.
pub(crate) trait SessionServices {
    /// The client forwards its agent, by the name of RFC 9987 or by OpenSSH's.
    fn on_agent_request(&mut self, by_rfc: bool);

    /// A shell.
    fn on_shell(&mut self, session: PendingSession);

    /// A command.
    fn on_exec(&mut self, session: PendingSession, command: &Bytes);

    /// A subsystem.
    fn on_subsystem(&mut self, session: PendingSession, name: &Bytes);

    /// Something else, which fails.
    ///
    /// # Errors
    /// The connection ends for it.
    fn on_unknown_request(&mut self, kind: &str) -> Result<(), Breach>;
}

/// Serves one request on a session; whether it succeeds. The session is gone from `session` once a
/// program was started on it: there can be one.
///
/// # Errors
/// The request is malformed, or one too many.
pub(crate) fn serve(
    services: &mut impl SessionServices,
    session: &mut Option<PendingSession>,
    kind: &str,
    data: &Bytes,
) -> Result<bool, Breach> {
    match kind {
        AGENT_REQ | AGENT_REQ_OPENSSH => {
            if let Some(session) = session {
                session.forwards_agent = true;
            }
            services.on_agent_request(kind == AGENT_REQ);
            Ok(true)
        }
        "shell" | "exec" | "subsystem" => {
            let Some(session) = session.take() else {
                return Ok(false);
            };
            match kind {
                "shell" => services.on_shell(session),
                "exec" => services.on_exec(session, &Fields::of_request(data).string()?),
                _ => services.on_subsystem(session, &Fields::of_request(data).string()?),
            }
            Ok(true)
        }
        // The client puts its terminal into raw mode, and shows what it gets.
        "pty-req" => {
            let Some(session) = session else {
                return Ok(false);
            };
            session.has_terminal = true;
            session.terminal_size = terminal_size(data);
            Ok(true)
        }
        // ssh sends its own environment along.
        "env" | "window-change" | KEEP_ALIVE | "eow@openssh.com" => Ok(false),
        other => services.on_unknown_request(other).map(|()| false),
    }
}

/// Columns and rows of a `pty-req` (RFC 4254, 6.2); `None` where it does not say them.
fn terminal_size(data: &Bytes) -> Option<(u32, u32)> {
    let mut fields = Fields::of_request(data);
    let _term = fields.string().ok()?;
    let size = (fields.uint32().ok()?, fields.uint32().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}
