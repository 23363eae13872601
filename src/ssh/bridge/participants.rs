//! People who have joined a session of the connection: they come, type, and leave.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::pump::Bridge;
use crate::relay::Side;
use crate::session::{ClientNotice, JoinRequest};
use crate::ssh::end_reason::EndReason;

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Lets somebody join. That is recorded before anything is shown.
    pub(super) fn handle_joining(&mut self, request: JoinRequest) -> Result<(), EndReason> {
        let JoinRequest {
            session,
            joiner,
            reply,
        } = request;
        let admitted = self.recorder.admit(session, joiner, Arc::clone(&self.wake));
        let answer = match admitted {
            Ok((participation, notice)) => {
                self.recorder.commit()?;
                self.tell_client(&notice);
                Ok(participation)
            }
            Err(refusal) => Err(refusal),
        };
        // A participant who is gone meanwhile leaves when the answer is dropped.
        drop(reply.send(answer));
        Ok(())
    }

    /// Passes on what participants have typed, and sees off those who have left. The resulting messages
    /// are sent with the next relayed packets, once they are recorded.
    pub(super) fn attend(&mut self) {
        if !self.recorder.has_participants() {
            return;
        }
        let typed = match self.has_room(Side::Host) {
            true => self.recorder.keystrokes(),
            false => Vec::new(),
        };
        for keystrokes in typed {
            let taken = self.relay.inject(
                keystrokes.channel,
                keystrokes.participant,
                &keystrokes.bytes,
                &mut self.recorder,
                &mut self.planned,
            );
            if taken > 0 {
                self.recorder.took(&keystrokes, taken);
            }
        }
        for notice in self.recorder.attend() {
            self.tell_client(&notice);
        }
    }

    /// A line on the terminal of the session's own client, as far as the client takes it.
    fn tell_client(&mut self, notice: &ClientNotice) {
        // In raw mode the cursor may be anywhere.
        let text = format!("\r\nrproxy: {}\r\n", notice.text);
        let (recorder, planned) = (&mut self.recorder, &mut self.planned);
        // A client that takes nothing now misses it; the marker is in the recording.
        let _told = self.relay.notify(notice.channel, &text, recorder, planned);
    }
}
