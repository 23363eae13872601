//! Changes from outside for a relayed connection: permissions, time limits, the proxy's shutdown.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::pump::Bridge;
use crate::access::Permissions;
use crate::relay::Side;
use crate::ssh::end_reason::EndReason;
use crate::ssh::policy_monitor::{PolicyChange, PolicyMonitor};
use crate::ssh::refusal;
use crate::ssh::scope::Scope;
use crate::ssh::timers::Expired;

/// After how long without output a session's compressor memory is freed. A shorter time would cost bytes
/// on the disk each time.
const REST: Duration = Duration::from_secs(60);
/// The same when the budget is used up.
const SHORT_REST: Duration = Duration::from_secs(1);

/// A change for a relay.
#[derive(Debug)]
pub(super) enum ConnectionUpdate {
    /// The permissions from now on.
    Permissions(Arc<Permissions>),
    /// The proxy stops, at this time at the latest.
    Stopping(Instant),
}

/// Waits until the policy or the outer connection ends the relay, and passes on other changes
/// meanwhile.
pub(super) async fn ended_from_outside(
    mut policy: PolicyMonitor,
    scope: Scope,
    updates: mpsc::Sender<ConnectionUpdate>,
) -> EndReason {
    loop {
        tokio::select! {
            change = policy.change() => {
                let update = match change {
                    PolicyChange::End(end) => return end,
                    PolicyChange::Permissions(new) => ConnectionUpdate::Permissions(new),
                    PolicyChange::Stopping(at) => ConnectionUpdate::Stopping(at),
                };
                // The receiver is gone only if the relay has ended by itself.
                drop(updates.send(update).await);
            }
            end = scope.ended() => return end,
        }
    }
}

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Applies a change. Resulting messages are sent with the next relayed packets.
    pub(super) fn handle_update(&mut self, update: ConnectionUpdate) {
        match update {
            ConnectionUpdate::Permissions(permissions) => self.permit(permissions),
            ConnectionUpdate::Stopping(at) => self.timers.stops_at(at),
        }
    }

    /// Replaces the permissions.
    fn permit(&mut self, permissions: Arc<Permissions>) {
        let (recorder, planned) = (&mut self.recorder, &mut self.planned);
        let ended = self.relay.permit(permissions, recorder, planned);
        // Without a terminal, a program reads the output: it must get only what the host has sent.
        if ended > 0 && self.recorder.has_terminal() {
            self.timers.tell(&refusal::forwards_ended(ended));
        }
    }

    /// Does what is due, or returns the reason to end the connection.
    pub(super) fn handle_expired(&mut self, due: Expired) -> Result<(), EndReason> {
        match due {
            // While the proxy does not read from the host, the host's silence means nothing.
            Expired::AskHost | Expired::End(EndReason::HostLost(_))
                if !self.has_room(Side::Client) =>
            {
                self.timers.host_said();
            }
            Expired::AskHost => self.relay.ask(Side::Host, &mut self.planned),
            // Without a terminal, a program reads the output: it must get only what the host has
            // sent.
            Expired::Warn(left) if self.recorder.has_terminal() => {
                self.timers.warn(left);
            }
            Expired::TellOfStop(left) if self.recorder.has_terminal() => {
                self.timers.tell_of_stop(left);
            }
            Expired::Warn(_) | Expired::TellOfStop(_) => {}
            Expired::End(end) => return Err(end),
        }
        Ok(())
    }

    /// How long until memory of silent sessions can be freed; `None` if there is none.
    pub(super) fn until_rest(&self) -> Option<Duration> {
        let after = if self.share.is_ample() {
            REST
        } else {
            SHORT_REST
        };
        self.recorder.until_rest(after)
    }

    /// Frees the memory of silent sessions, if it is time to.
    pub(super) fn rest(&mut self) -> Result<(), EndReason> {
        if self.until_rest() == Some(Duration::ZERO) {
            self.recorder.rest()?;
        }
        Ok(())
    }
}
