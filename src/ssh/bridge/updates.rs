//! What changes for a relayed connection from outside: its permissions, the time, the proxy's end.

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

/// How soon a silent session gives back its compressor's memory. Sooner would cost bytes on the disk each
/// time.
const REST: Duration = Duration::from_secs(60);
/// The same when the budget is used up.
const SHORT_REST: Duration = Duration::from_secs(1);

/// What a relay learns while it goes on.
#[derive(Debug)]
pub(super) enum ConnectionUpdate {
    /// What it may carry from now on.
    Permissions(Arc<Permissions>),
    /// The proxy stops, at this time at the latest.
    Stopping(Instant),
}

/// Waits until the policy or the outer connection ends the relay, and passes on meanwhile what else
/// changes for it.
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
                // The receiver is gone only where the relay ends by itself.
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
    /// Takes a change. What follows from it is sent with what is relayed next.
    pub(super) fn handle_update(&mut self, update: ConnectionUpdate) {
        match update {
            ConnectionUpdate::Permissions(permissions) => self.permit(permissions),
            ConnectionUpdate::Stopping(at) => self.timers.stops_at(at),
        }
    }

    /// Puts other permissions in force.
    fn permit(&mut self, permissions: Arc<Permissions>) {
        let (recorder, planned) = (&mut self.recorder, &mut self.planned);
        let ended = self.relay.permit(permissions, recorder, planned);
        // As with warnings: what a program reads stays what the host has said.
        if ended > 0 && self.recorder.has_terminal() {
            self.timers.tell(&refusal::forwards_ended(ended));
        }
    }

    /// Does what is due, or ends the connection.
    pub(super) fn handle_expired(&mut self, due: Expired) -> Result<(), EndReason> {
        match due {
            // A host that is not read is not silent.
            Expired::AskHost | Expired::End(EndReason::HostLost(_))
                if !self.has_room(Side::Client) =>
            {
                self.timers.host_said();
            }
            Expired::AskHost => self.relay.ask(Side::Host, &mut self.planned),
            // Only where there is a terminal: what a program reads stays what the host has said.
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

    /// How long until silent sessions give back memory, if they have any to give.
    pub(super) fn until_rest(&self) -> Option<Duration> {
        let after = if self.share.is_ample() {
            REST
        } else {
            SHORT_REST
        };
        self.recorder.until_rest(after)
    }

    /// Gives back the memory of silent sessions, if it is time to.
    pub(super) fn rest(&mut self) -> Result<(), EndReason> {
        if self.until_rest() == Some(Duration::ZERO) {
            self.recorder.rest()?;
        }
        Ok(())
    }
}
