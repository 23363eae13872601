//! The flow control of a channel that ends in the proxy: windows, and how far both sides have
//! closed it.
//!
//! Has no socket: received messages are passed in, and messages to send are returned.

use bytes::Bytes;

use super::stream::{ChannelPort, Piece};
use crate::wire::connection::{Ending, Message, STDERR};

/// How many bytes the client may send on a channel before they are read.
pub(crate) const WINDOW: u32 = 2 * 1024 * 1024;
/// The same before a request says what the channel is for: enough for the start of ssh, which does
/// not wait for an answer.
pub(crate) const EARLY_WINDOW: u32 = 16 * 1024;
/// The same for an agent, whose answers are read as they arrive.
pub(crate) const AGENT_WINDOW: u32 = 64 * 1024;
/// The most data in one message.
pub(crate) const MAX_PACKET: u32 = 64 * 1024;

/// The driver's state of one open channel.
#[derive(Debug)]
pub(crate) struct Port {
    port: ChannelPort,
    /// The client's channel number.
    recipient: u32,
    /// How many bytes may still be sent to the client.
    send_window: u32,
    /// The most data that the client accepts in one message.
    max_packet: u32,
    /// How many bytes the client may still send.
    receive_window: u32,
    /// The highest value of that.
    most: u32,
    /// How far our side has closed the channel.
    ending: Ending,
    pub(crate) got_close: bool,
}

impl Port {
    /// A channel whose client may send `granted` bytes, and grants `window` itself.
    pub(crate) fn new(
        port: ChannelPort,
        granted: u32,
        (recipient, window, max_packet): (u32, u32, u32),
    ) -> Self {
        Self {
            port,
            recipient,
            send_window: window,
            max_packet,
            receive_window: granted,
            most: WINDOW,
            ending: Ending::default(),
            got_close: false,
        }
    }

    /// The same channel with a lower limit of bytes that the client may send before they are read.
    pub(crate) fn narrowed(self, most: u32) -> Self {
        Self { most, ..self }
    }

    /// The client's channel number.
    pub(crate) fn recipient(&self) -> u32 {
        self.recipient
    }

    /// Delivers data from the client; `false` when it exceeds the window.
    #[must_use]
    pub(crate) fn deliver(&mut self, data: Bytes) -> bool {
        let Ok(length) = u32::try_from(data.len()) else {
            return false;
        };
        let (Some(rest), true) = (
            self.receive_window.checked_sub(length),
            length <= MAX_PACKET,
        ) else {
            return false;
        };
        self.receive_window = rest;
        self.port.deliver(&data);
        true
    }

    pub(crate) fn deliver_eof(&self) {
        self.port.deliver_eof();
    }

    pub(crate) fn hang_up(&self) {
        self.port.hang_up();
    }

    /// The client grants more; `false` when the sum is too large.
    #[must_use]
    pub(crate) fn grant(&mut self, bytes: u32) -> bool {
        match self.send_window.checked_add(bytes) {
            Some(sum) => {
                self.send_window = sum;
                true
            }
            None => false,
        }
    }

    /// The memory of the channel's buffers, in bytes, if at most `limit` bytes of output may wait.
    pub(crate) fn held(&self, limit: usize) -> usize {
        self.port.held(limit)
    }

    /// The next message to send on this channel, if any. `window` is how many bytes the client may
    /// have sent unread: if the client was granted more than that, nothing is granted for now.
    pub(crate) fn next_message(&mut self, window: u32) -> Option<Message> {
        if self.ending.has_closed() {
            return None;
        }
        let recipient = self.recipient;
        let pending = self.port.pending();
        let unread = u32::try_from(pending.unread).unwrap_or(u32::MAX);
        let window = window.min(self.most);
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
        let limit = self.send_window.min(self.max_packet) as usize;
        if let Some(piece) = self.port.next_piece(limit) {
            return Some(self.data(piece));
        }
        if !self.port.output_ended() {
            return None;
        }
        let status = self.port.take_exit_status();
        self.ending.next(recipient, status, pending.finished)
    }

    /// Whether both sides have closed it.
    pub(crate) fn is_over(&self) -> bool {
        self.got_close && self.ending.has_closed()
    }

    fn data(&mut self, piece: Piece) -> Message {
        let recipient = self.recipient;
        let (message, length) = match piece {
            Piece::Data(data) => {
                let length = data.len();
                (Message::Data { recipient, data }, length)
            }
            Piece::Stderr(data) => {
                let length = data.len();
                (
                    Message::ExtendedData {
                        recipient,
                        code: STDERR,
                        data,
                    },
                    length,
                )
            }
        };
        self.send_window = self
            .send_window
            .saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
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
        (stream, Port::new(port, granted, (0, 1 << 20, 1 << 15)))
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
            assert!(port.deliver(Bytes::from_static(b"x")));
        }
        assert!(!port.deliver(Bytes::from_static(b"x")));
        assert!(port.held(usize::MAX) <= 2 * EARLY_WINDOW as usize);
        // After a request, the data is read, and the window grows.
        assert_eq!(granted(&mut port, WINDOW), WINDOW - EARLY_WINDOW);
        assert_eq!(granted(&mut port, WINDOW), 0);
    }

    #[tokio::test]
    async fn what_was_read_is_granted_again_as_far_as_there_is_room() {
        let (mut stream, mut port) = port(WINDOW);
        let mut sent = 0;
        while port.deliver(vec![7; MAX_PACKET as usize].into()) {
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
