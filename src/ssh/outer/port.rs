//! One channel of the outer connection: windows, and what has been said on it.

use bytes::Bytes;

use crate::relay::Message;
use crate::relay::message::{Head, Name, STDERR};
use crate::ssh::stream::{ChannelPort, Piece};

/// Bytes that the client may send on a channel before they are read.
pub(in crate::ssh) const WINDOW: u32 = 2 * 1024 * 1024;
/// The most data that is taken in one message.
pub(in crate::ssh) const MAX_PACKET: u32 = 64 * 1024;

/// The driver's state of one open channel.
#[derive(Debug)]
pub(in crate::ssh) struct Port {
    port: ChannelPort,
    /// The client's number for the channel.
    recipient: u32,
    /// Bytes that the client still takes.
    send_window: u32,
    /// The most data that the client takes in one message.
    max_packet: u32,
    /// Bytes that the client may still send.
    receive_window: u32,
    /// Bytes read, and not granted again yet.
    to_grant: u32,
    sent_eof: bool,
    pub(in crate::ssh) sent_close: bool,
    pub(in crate::ssh) got_close: bool,
}

impl Port {
    pub(in crate::ssh) fn new(
        port: ChannelPort,
        recipient: u32,
        window: u32,
        max_packet: u32,
    ) -> Self {
        Self {
            port,
            recipient,
            send_window: window,
            max_packet,
            receive_window: WINDOW,
            to_grant: 0,
            sent_eof: false,
            sent_close: false,
            got_close: false,
        }
    }

    /// The same, whose client may send so many bytes only.
    pub(in crate::ssh) fn narrowed(self, window: u32) -> Self {
        Self {
            receive_window: window,
            ..self
        }
    }

    /// The client's number for the channel.
    pub(in crate::ssh) fn recipient(&self) -> u32 {
        self.recipient
    }

    /// Data from the client; `false` when it is more than was granted.
    #[must_use]
    pub(in crate::ssh) fn deliver(&mut self, data: Bytes) -> bool {
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

    pub(in crate::ssh) fn deliver_eof(&self) {
        self.port.deliver_eof();
    }

    pub(in crate::ssh) fn hang_up(&self) {
        self.port.hang_up();
    }

    /// The client takes more; `false` when the sum is too large.
    #[must_use]
    pub(in crate::ssh) fn grant(&mut self, bytes: u32) -> bool {
        match self.send_window.checked_add(bytes) {
            Some(sum) => {
                self.send_window = sum;
                true
            }
            None => false,
        }
    }

    /// The next message that this channel has to send, if any.
    pub(in crate::ssh) fn next_message(&mut self) -> Option<Message> {
        if self.sent_close {
            return None;
        }
        let recipient = self.recipient;
        let pending = self.port.pending();
        self.to_grant = self
            .to_grant
            .saturating_add(u32::try_from(pending.consumed).unwrap_or(u32::MAX));
        if self.to_grant >= WINDOW / 4 && !pending.finished {
            let bytes = std::mem::take(&mut self.to_grant);
            self.receive_window = self.receive_window.saturating_add(bytes);
            return Some(Message::WindowAdjust { recipient, bytes });
        }
        if self.got_close {
            return self.close();
        }
        let limit = self.send_window.min(self.max_packet) as usize;
        if let Some(piece) = self.port.next_piece(limit) {
            return Some(self.data(piece));
        }
        if !self.port.output_ended() {
            return None;
        }
        if let Some(status) = self.port.take_exit_status() {
            return Some(Message::Request {
                recipient,
                kind: Name::from_static("exit-status"),
                want_reply: false,
                data: Head::of_data().uint32(status).into_bytes(),
            });
        }
        if !self.sent_eof {
            self.sent_eof = true;
            return Some(Message::Eof { recipient });
        }
        if pending.finished { self.close() } else { None }
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

    fn close(&mut self) -> Option<Message> {
        self.sent_close = true;
        Some(Message::Close {
            recipient: self.recipient,
        })
    }
}
