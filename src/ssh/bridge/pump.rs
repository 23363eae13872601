//! Decrypts, translates, records and sends the packets of both sides.
//!
//! Everything that one read brought is recorded and stored before any of it is sent on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::legs::Legs;
use crate::relay::{ExistingChannel, Outgoing, Relay, Side};
use crate::session::Recorder;
use crate::ssh::budget::Share;
use crate::ssh::end_reason::EndReason;
use crate::ssh::leg::LegEvent;
use crate::ssh::refusal::NESTED_SSH;
use crate::ssh::timers::ConnectionTimers;

/// How much output may wait for one side, in bytes. Beyond that, nothing is read that could add to it: from the
/// other side, and from that side itself, because it gets answers too. A peer that reads its input is never
/// slowed down by this limit. It is lower when the budget is used up.
const BACKLOG: usize = 2 * 1024 * 1024;

/// How many packets of one side are translated before they are sent on: compressed, a single read
/// can contain far more than its size.
const BATCH: usize = 256;
/// The same in bytes.
const BATCH_BYTES: usize = 512 * 1024;

/// What happened on both legs before the relay began. Empty if the host was connected first.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    /// The session that is open on both sides.
    pub(crate) adopted: Option<ExistingChannel>,
    /// Packets that were not answered yet, in the order of their sides.
    pub(crate) packets: Vec<(Side, Bytes)>,
}

/// A relayed connection.
#[derive(Debug)]
pub(super) struct Bridge<C, H> {
    pub(super) legs: Legs<C, H>,
    pub(super) recorder: Recorder,
    pub(super) relay: Relay,
    pub(super) timers: ConnectionTimers,
    pub(super) share: Share,
    /// The messages that result from one read, until it is recorded.
    pub(super) planned: Vec<Outgoing>,
    /// Participants wake the connection through this.
    pub(super) wake: Arc<Notify>,
    /// The user was informed that SSH inside a forward is closed.
    told_of_nested_ssh: bool,
}

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(
        legs: Legs<C, H>,
        relay: Relay,
        recorder: Recorder,
        timers: ConnectionTimers,
        share: Share,
    ) -> Self {
        Self {
            legs,
            recorder,
            relay,
            timers,
            share,
            planned: Vec::new(),
            wake: Arc::default(),
            told_of_nested_ssh: false,
        }
    }

    /// Takes over the state from before the relay.
    pub(super) fn begin(&mut self, handoff: Handoff) -> Result<(), EndReason> {
        if let Some(adopted) = handoff.adopted {
            self.relay.adopt(adopted);
        }
        for (from, payload) in handoff.packets {
            self.relay
                .on_packet(from, &payload, &mut self.recorder, &mut self.planned)?;
        }
        self.recorder.commit()?;
        self.legs.send(&mut self.planned)
    }

    /// Processes what both legs have decrypted: records it, and only then sends it on.
    pub(super) fn relay_packets(&mut self) -> Result<(), EndReason> {
        loop {
            let planned = self.plan_both();
            // Commit and send what arrived before the end of a leg. Discard what arrived with a breach
            // of the connection protocol.
            if planned.as_ref().err().is_none_or(EndReason::is_of_leg) {
                self.recorder.commit()?;
                // The text is written before the channel's end is sent: after that, the session
                // that can show it may be gone.
                if self.relay.has_closed_nested_ssh() {
                    self.tell_of_nested_ssh();
                }
                self.legs.send(&mut self.planned)?;
            }
            if !planned? {
                return Ok(());
            }
        }
    }

    /// Translates what both legs have decrypted; `true` when there may be more of it at once.
    fn plan_both(&mut self) -> Result<bool, EndReason> {
        let client_has_more = self.plan(Side::Client)?;
        let host_has_more = self.plan(Side::Host)?;
        Ok(client_has_more || host_has_more)
    }

    /// Translates what one leg has decrypted; `true` when there may be more of it at once.
    fn plan(&mut self, from: Side) -> Result<bool, EndReason> {
        let mut bytes = 0;
        for _ in 0..BATCH {
            if !self.has_room(from.other()) || !self.takes(from) {
                return Ok(false);
            }
            match self.legs.poll_event(from)? {
                None => return Ok(false),
                Some(LegEvent::Packet(payload)) => {
                    bytes += payload.len();
                    match from {
                        Side::Client => self.timers.client_said(&payload),
                        Side::Host => self.timers.host_said(),
                    }
                    self.relay
                        .on_packet(from, &payload, &mut self.recorder, &mut self.planned)?;
                }
                Some(LegEvent::HostKey(_) | LegEvent::Established) => {}
            }
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// How much may wait for a side; beyond that, nothing is read that could add to it.
    pub(super) fn room(&self) -> usize {
        self.share.room(BACKLOG)
    }

    pub(super) fn has_room(&mut self, side: Side) -> bool {
        let room = self.room();
        self.legs.has_room(side, room)
    }

    fn takes(&mut self, side: Side) -> bool {
        let room = self.room();
        self.legs.takes(side, room)
    }

    /// Reports the memory that is held here to the budget.
    pub(super) fn count_held(&mut self) {
        let held = self.legs.held() + self.relay.held() + self.recorder.held();
        self.share.hold(held);
    }

    /// ssh shows no reason when a forwarded channel is closed, so the user gets the reason here,
    /// once.
    fn tell_of_nested_ssh(&mut self) {
        if !std::mem::replace(&mut self.told_of_nested_ssh, true) {
            self.timers.tell(NESTED_SSH);
        }
    }
}
