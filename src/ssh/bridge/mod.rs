//! The pump between the inner and the upstream leg: decrypt, record, translate, encrypt.
//!
//! One task, no queue between the legs. Everything that one read brought is recorded and stored
//! before any of it is sent on (`pump`). Reading from one side never waits for writing to the other:
//! a side cannot send more than the other has granted. The loop is in `drive`; changes from outside
//! are in `updates` and `commands`, people who have joined in `participants`; the end is in `finish`.

mod commands;
mod drive;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod faults;
mod finish;
mod legs;
mod participants;
mod pump;
mod updates;

use std::pin::pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use self::legs::Legs;
use self::pump::Bridge;
use self::updates::ended_from_outside;
use crate::relay::Relay;
use crate::session::{Inbox, Recorder};
use crate::ssh::budget::Share;
use crate::ssh::leg::Leg;
use crate::ssh::policy_monitor::PolicyMonitor;
use crate::ssh::scope::Scope;
use crate::ssh::timers::ConnectionTimers;

pub(crate) use pump::Handoff;

/// What can end or limit a relay, beside its two sides.
#[derive(Debug)]
pub(crate) struct RelayLimits {
    /// The time limits.
    pub(crate) timers: ConnectionTimers,
    /// Revocation and the policy.
    pub(crate) policy: PolicyMonitor,
    /// The end of the outer connection or of the proxy.
    pub(crate) scope: Scope,
    /// Commands of administrators, and people who join.
    pub(crate) inbox: Inbox,
    /// The connection's part of the memory budget.
    pub(crate) share: Share,
}

/// Relays until one side ends the connection, and then closes the other side.
pub(crate) async fn run<C, H>(
    (client, host): (Leg<C>, Leg<H>),
    recorder: Recorder,
    handoff: Handoff,
    limits: RelayLimits,
) where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    let RelayLimits {
        timers,
        policy,
        scope,
        inbox,
        share,
    } = limits;
    let audit = policy.witness();
    let legs = Legs { client, host };
    let relay = Relay::new(legs.peers(), policy.permissions());
    let mut bridge = Bridge::new(legs, relay, recorder, timers, share);
    let end = match bridge.begin(handoff) {
        Ok(()) => {
            let (sender, updates) = mpsc::channel(1);
            let ended = pin!(ended_from_outside(policy, scope, sender));
            let Err(end) = bridge.drive(ended, updates, inbox).await;
            end
        }
        Err(end) => end,
    };
    bridge.finish(end, |refusal| audit.tell(refusal)).await;
}
