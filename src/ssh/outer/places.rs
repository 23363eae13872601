//! The channel limits of an outer connection.
//!
//! If a client opens one session too many, the session is refused: ssh then makes a connection of its own, as
//! with sshd's `MaxSessions`. It does not do so for `-W`, and not usefully on a connection that is about to
//! end: for these, a few more channels can be opened that only carry the reason.

use std::sync::Arc;

use bytes::Bytes;

use super::channel::{Channel, EndpointError};
use super::endpoint::Endpoint;
use crate::ssh::channel::{ChannelStream, EARLY_WINDOW, MAX_PACKET, Port, channel};
use crate::wire::connection::Message;

/// How many channels the client may have open on one outer connection.
const MAX_CHANNELS: usize = 64;
/// How many channels to the client's agent may be open: each of the client's channels may need one.
const MAX_AGENTS: usize = 64;
/// How many additional channels may be open that only carry the reason for a refusal.
const MAX_COURTESIES: usize = 8;
/// How many bytes the client may send on an additional channel: enough for the start of an SSH
/// connection.
const COURTESY_WINDOW: u32 = 64 * 1024;

impl Endpoint {
    /// The number for another channel of the client, if the limit permits it.
    pub(super) fn free_number(&self) -> Option<u32> {
        self.number_below(MAX_CHANNELS, false)
    }

    /// The number for another channel to the client's agent, if the limit permits it.
    pub(super) fn agent_number(&self) -> Option<u32> {
        self.number_below(MAX_AGENTS, true)
    }

    /// The number for an additional channel that only carries the reason for a refusal.
    pub(super) fn courtesy_number(&self) -> Option<u32> {
        self.number_below(MAX_CHANNELS + MAX_COURTESIES, false)
    }

    /// An unused number, if there are fewer than `most` channels of the client, or to its agent.
    fn number_below(&self, most: usize, to_agent: bool) -> Option<u32> {
        let alike = |channel: &&Channel| channel.leads_to_agent() == to_agent;
        if self.channels.values().filter(alike).count() >= most {
            return None;
        }
        (0..).find(|number| !self.channels.contains_key(number))
    }

    /// Adds a channel of the client; a refused one only carries the reason.
    pub(super) fn admit(
        &mut self,
        number: u32,
        (sender, window, max_packet): (u32, u32, u32),
        is_refused: bool,
        of: impl FnOnce(Port) -> Channel,
    ) -> Result<ChannelStream, EndpointError> {
        let (stream, port) = channel(Arc::clone(&self.wake));
        let port = Port::new(port, EARLY_WINDOW, (sender, window, max_packet));
        let port = match is_refused {
            true => port.narrowed(COURTESY_WINDOW),
            false => port,
        };
        self.channels.insert(number, of(port));
        self.send(&Message::OpenConfirmation {
            recipient: sender,
            sender: number,
            window: EARLY_WINDOW,
            max_packet: MAX_PACKET,
            data: Bytes::new(),
        })?;
        Ok(stream)
    }
}
