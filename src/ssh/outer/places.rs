//! The places for channels on an outer connection, and a few more for the reason why there is none.

use std::sync::Arc;

use bytes::Bytes;

use super::channel::{Channel, EndpointError};
use super::endpoint::Endpoint;
use super::port::{EARLY_WINDOW, MAX_PACKET, Port};
use crate::relay::Message;
use crate::ssh::stream::{ChannelStream, channel};

/// Channels that one outer connection may have at a time.
const MAX_CHANNELS: usize = 64;
/// Further channels on which nothing happens but that the client reads why.
const MAX_COURTESIES: usize = 8;
/// Bytes that the client may send on one of those: how an SSH connection begins.
const COURTESY_WINDOW: u32 = 64 * 1024;

impl Endpoint {
    /// The number for another channel, if there is a place for it.
    pub(super) fn free_number(&self) -> Option<u32> {
        if self.channels.len() >= MAX_CHANNELS {
            return None;
        }
        (0..).find(|number| !self.channels.contains_key(number))
    }

    /// The number for a channel on which the client only reads why nothing comes of it.
    pub(super) fn courtesy_number(&self) -> Option<u32> {
        if self.channels.len() >= MAX_CHANNELS + MAX_COURTESIES {
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
