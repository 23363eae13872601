//! Carries out an administrator's commands for a live connection. They are audited already.

use tokio::io::{AsyncRead, AsyncWrite};

use super::pump::Bridge;
use crate::session::{SessionCommand, SessionLocation};
use crate::ssh::end_reason::EndReason;
use crate::ssh::refusal::{self, Refusal};

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Ends a session, or with `Err` the connection: also if the session is the only thing on it.
    /// The text for the session's user is sent with the next relayed packets.
    pub(super) fn handle_command(&mut self, command: &SessionCommand) -> Result<(), EndReason> {
        let refusal = refusal::killed(command.message());
        let Some(session) = command.session else {
            return Err(self.killed(command, refusal));
        };
        // The session may have ended meanwhile.
        let Some(location) = self.recorder.place(session) else {
            return Ok(());
        };
        let others = match location {
            SessionLocation::Channel(_) => self.relay.channels().saturating_sub(1),
            SessionLocation::Forwards => self.relay.sessions(),
        };
        if others == 0 {
            return Err(self.killed(command, refusal));
        }
        // In raw mode the cursor may be anywhere.
        let text = format!("\r\n{}", refusal.text(session));
        match location {
            SessionLocation::Channel(key) => self.relay.end_session(key, &text, &mut self.planned),
            SessionLocation::Forwards => {
                let (recorder, planned) = (&mut self.recorder, &mut self.planned);
                self.relay.stop_forwarding(recorder, planned);
                // Without a terminal, a program reads the output: it must get only what the host
                // has sent.
                if self.recorder.has_terminal() {
                    self.timers.tell(&text);
                }
            }
        }
        self.recorder
            .end_one(location, &command.marker(), refusal.reason);
        Ok(())
    }

    /// Ends the connection. Its recordings name the administrator.
    fn killed(&mut self, command: &SessionCommand, refusal: Refusal) -> EndReason {
        self.recorder.mark_all(&command.marker());
        EndReason::Killed(Box::new(refusal), command.session)
    }
}
