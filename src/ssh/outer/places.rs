//! The places for channels on an outer connection.
//!
//! A client that opens one session too many is refused it: its ssh then makes a connection of its own, as with
//! sshd's `MaxSessions`. It does not so for `-W`, and on a connection that is about to end it would lead
//! nowhere: for these a few more channels are there for the reason alone.

use std::sync::Arc;

use bytes::Bytes;

use super::channel::{Channel, EndpointError};
use super::endpoint::Endpoint;
use crate::ssh::channel::{ChannelStream, EARLY_WINDOW, MAX_PACKET, Port, channel};
use crate::wire::connection::Message;

/// Channels that the client may have open on one outer connection at a time.
const MAX_CHANNELS: usize = 64;
/// Channels to the client's agent at a time: each of its own channels may need one.
const MAX_AGENTS: usize = 64;
/// Further channels on which nothing happens but that the client reads why.
const MAX_COURTESIES: usize = 8;
/// Bytes that the client may send on one of those: how an SSH connection begins.
const COURTESY_WINDOW: u32 = 64 * 1024;

impl Endpoint {
    /// The number for another channel of the client's, if there is a place for it.
    pub(super) fn free_number(&self) -> Option<u32> {
        self.number_below(MAX_CHANNELS, false)
    }

    /// The number for another channel to the client's agent, if there is a place for it.
    pub(super) fn agent_number(&self) -> Option<u32> {
        self.number_below(MAX_AGENTS, true)
    }

    /// The number for a channel on which the client only reads why nothing comes of it.
    pub(super) fn courtesy_number(&self) -> Option<u32> {
        self.number_below(MAX_CHANNELS + MAX_COURTESIES, false)
    }

    /// An unused number, if fewer than `most` channels are the client's own, or lead to its agent.
    fn number_below(&self, most: usize, to_agent: bool) -> Option<u32> {
        let alike = |channel: &&Channel| channel.leads_to_agent() == to_agent;
        if self.channels.values().filter(alike).count() >= most {
            return None;
        }
        (0..).find(|number| !self.channels.contains_key(number))
    }

    /// Takes in a channel of the client's; a refused one is there for the reason alone.
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
