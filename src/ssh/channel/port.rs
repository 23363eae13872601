//! The flow control of a channel that ends in the proxy: windows, and how far both sides have
//! closed it.
//!
//! Has no socket: received messages are passed in, and messages to send are returned.

use bytes::Bytes;

use super::stream::{ChannelPort, Piece};
use crate::wire::connection::{Ending, Message, STDERR};

/// Bytes that the peer may send on a channel before they are read.
pub(crate) const WINDOW: u32 = 2 * 1024 * 1024;
/// The same before a request says what the channel is for: enough for the start of ssh, which does
/// not wait for an answer.
pub(crate) const EARLY_WINDOW: u32 = 16 * 1024;
/// The same for an agent, whose answers are read as they arrive.
pub(crate) const AGENT_WINDOW: u32 = 64 * 1024;
/// The most data in one message.
pub(crate) const MAX_PACKET: u32 = 64 * 1024;

/// What the peer has said about its end of a channel (RFC 4254, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerEnd {
    /// Its number for the channel.
    pub(crate) number: u32,
    /// Bytes that it still takes.
    pub(crate) window: u32,
    /// The most data that it takes in one message.
    pub(crate) max_packet: u32,
}

/// What this side takes on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Bytes that the peer may send at first.
    pub(crate) window: u32,
    /// Bytes that it may send before they are read, at any time.
    pub(crate) max_window: u32,
    /// The most data that is taken in one message.
    pub(crate) max_packet: u32,
}

/// One end of an open channel, for the code that sends and receives its messages.
#[derive(Debug)]
pub(crate) struct Port {
    port: ChannelPort,
    peer: PeerEnd,
    terms: Terms,
    /// Bytes that the peer may still send.
    receive_window: u32,
    /// How far our side has ended it.
    ending: Ending,
    /// The peer has closed it.
    got_close: bool,
}

impl Port {
    /// A channel between a peer that takes this much and a side that does on these terms.
    pub(crate) fn new(port: ChannelPort, peer: PeerEnd, terms: Terms) -> Self {
        Self {
            port,
            peer,
            receive_window: terms.window,
            terms,
            ending: Ending::default(),
            got_close: false,
        }
    }

    /// The peer's end.
    pub(crate) fn peer(&self) -> PeerEnd {
        self.peer
    }

    /// Bytes that the peer was granted at first.
    pub(crate) fn first_window(&self) -> u32 {
        self.terms.window
    }

    /// Data from the peer; `false` when it is more than was granted.
    #[must_use]
    pub(crate) fn deliver(&mut self, data: &Bytes) -> bool {
        let Ok(length) = u32::try_from(data.len()) else {
            return false;
        };
        let rest = self.receive_window.checked_sub(length);
        let Some(rest) = rest.filter(|_| length <= self.terms.max_packet) else {
            return false;
        };
        self.receive_window = rest;
        self.port.deliver(data);
        true
    }

    /// The peer sends no more data.
    pub(crate) fn deliver_eof(&self) {
        self.port.deliver_eof();
    }

    /// The peer has closed the channel: it sends nothing more on it, and reads nothing.
    pub(crate) fn deliver_close(&mut self) {
        self.got_close = true;
        self.port.hang_up();
    }

    /// The connection is gone.
    pub(crate) fn hang_up(&self) {
        self.port.hang_up();
    }

    /// The peer takes more; `false` when the sum is too large.
    #[must_use]
    pub(crate) fn grant(&mut self, bytes: u32) -> bool {
        let sum = self.peer.window.checked_add(bytes);
        self.peer.window = sum.unwrap_or(self.peer.window);
        sum.is_some()
    }

    /// Whether the peer may still send on it.
    pub(crate) fn hears(&self) -> bool {
        !self.got_close
    }

    /// Whether anything may still be sent on it.
    pub(crate) fn speaks(&self) -> bool {
        !self.ending.has_closed()
    }

    /// Whether this side's user of the channel is done with it: what remains is up to the peer.
    pub(crate) fn is_finished(&self) -> bool {
        self.port.pending().finished
    }

    /// Whether both sides have closed it: then its numbers are free.
    pub(crate) fn is_over(&self) -> bool {
        !self.hears() && !self.speaks()
    }

    /// The memory of the channel's buffers, in bytes, if at most `limit` bytes of output may wait.
    pub(crate) fn held(&self, limit: usize) -> usize {
        self.port.held(limit)
    }

    /// The next message that this channel has to send, if any. The peer is granted no more than
    /// `window` bytes before they are read, and nothing while it has been granted more already.
    pub(crate) fn next_message(&mut self, window: u32) -> Option<Message> {
        if !self.speaks() {
            return None;
        }
        let recipient = self.peer.number;
        let pending = self.port.pending();
        let unread = u32::try_from(pending.unread).unwrap_or(u32::MAX);
        let window = window.min(self.terms.max_window);
        let bytes = window
            .saturating_sub(self.receive_window)
            .saturating_sub(unread);
        if bytes >= (window / 4).max(1) && !pending.finished {
            self.receive_window = self.receive_window.saturating_add(bytes);
            return Some(Message::WindowAdjust { recipient, bytes });
        }
        if self.got_close {
            return self.ending.close(recipient);
        }
        let limit = self.peer.window.min(self.peer.max_packet) as usize;
        if let Some(piece) = self.port.next_piece(limit) {
            return Some(self.data(piece));
        }
        if !self.port.output_ended() {
            return None;
        }
        let status = self.port.take_exit_status();
        self.ending.next(recipient, status, pending.finished)
    }

    fn data(&mut self, piece: Piece) -> Message {
        let recipient = self.peer.number;
        let (message, length) = match piece {
            Piece::Data(data) => {
                let length = data.len();
                (Message::Data { recipient, data }, length)
            }
            Piece::Stderr(data) => {
                let length = data.len();
                let code = STDERR;
                let message = Message::ExtendedData {
                    recipient,
                    code,
                    data,
                };
                (message, length)
            }
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.peer.window = self.peer.window.saturating_sub(length);
        message
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt as _;
    use tokio::sync::Notify;

    use super::*;
    use crate::ssh::channel::{ChannelStream, channel};

    fn port(granted: u32) -> (ChannelStream, Port) {
        let (stream, port) = channel(Arc::new(Notify::new()));
        let peer = PeerEnd {
            number: 0,
            window: 1 << 20,
            max_packet: 1 << 15,
        };
        let terms = Terms {
            window: granted,
            max_window: WINDOW,
            max_packet: MAX_PACKET,
        };
        (stream, Port::new(port, peer, terms))
    }

    fn granted(port: &mut Port, window: u32) -> u32 {
        match port.next_message(window) {
            Some(Message::WindowAdjust { bytes, .. }) => bytes,
            None => 0,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sent_before_a_request_is_little() {
        let (_stream, mut port) = port(EARLY_WINDOW);
        assert_eq!(granted(&mut port, EARLY_WINDOW), 0);
        for _ in 0..EARLY_WINDOW {
            assert!(port.deliver(&Bytes::from_static(b"x")));
        }
        assert!(!port.deliver(&Bytes::from_static(b"x")));
        assert!(port.held(usize::MAX) <= 2 * EARLY_WINDOW as usize);
        // A request says what the channel is for: then more is granted.
        assert_eq!(granted(&mut port, WINDOW), WINDOW - EARLY_WINDOW);
        assert_eq!(granted(&mut port, WINDOW), 0);
    }

    #[tokio::test]
    async fn what_was_read_is_granted_again_as_far_as_there_is_room() {
        let (mut stream, mut port) = port(WINDOW);
        let mut sent = 0;
        while port.deliver(&vec![7; MAX_PACKET as usize].into()) {
            sent += MAX_PACKET;
        }
        assert_eq!(sent, WINDOW);
        assert_eq!(granted(&mut port, WINDOW), 0, "nothing was read");
        let mut read = vec![0; WINDOW as usize / 2];
        stream.read_exact(&mut read).await.unwrap();
        // The budget is used up: more is unread than may be.
        assert_eq!(granted(&mut port, MAX_PACKET), 0);
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(granted(&mut port, MAX_PACKET), MAX_PACKET);
        // The budget is free again.
        assert_eq!(granted(&mut port, WINDOW), WINDOW - MAX_PACKET);
    }
}
