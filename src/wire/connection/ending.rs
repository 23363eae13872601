//! How a channel ends: the last messages on it, in their order.

use super::fields::{Head, Name};
use super::message::Message;

/// The exit status of a session that the proxy refuses or ends, as ssh has for its own failures.
pub const EXIT_REFUSED: u32 = 255;

/// How far one side has ended a channel: the exit status of a session, EOF, CLOSE (RFC 4254, 5.3 and
/// 6.10). All output comes before, stderr included. OpenSSH's client keeps the first exit status
/// that it reads before CLOSE.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    said_eof: bool,
    said_close: bool,
}

impl Ending {
    /// The next of the last messages to the channel with this number at the peer, once all output
    /// was sent: the exit status if there is one, EOF, and CLOSE if `may_close`. `None` when all of
    /// them were sent.
    pub fn next(
        &mut self,
        recipient: u32,
        status: Option<u32>,
        may_close: bool,
    ) -> Option<Message> {
        if self.said_close {
            return None;
        }
        if let Some(status) = status {
            return Some(exit_status(recipient, status));
        }
        if !std::mem::replace(&mut self.said_eof, true) {
            return Some(Message::Eof { recipient });
        }
        may_close.then(|| self.close(recipient)).flatten()
    }

    /// CLOSE, whatever else was still to be sent; once. The answer to the peer's CLOSE.
    pub fn close(&mut self, recipient: u32) -> Option<Message> {
        let said_close = std::mem::replace(&mut self.said_close, true);
        (!said_close).then_some(Message::Close { recipient })
    }

    /// Whether CLOSE was sent. Nothing may follow it on the channel.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.said_close
    }
}

/// The exit status of a session's command (RFC 4254, 6.10).
#[must_use]
pub fn exit_status(recipient: u32, status: u32) -> Message {
    Message::Request {
        recipient,
        kind: Name::from_static("exit-status"),
        want_reply: false,
        data: Head::of_data().uint32(status).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_messages_have_an_order_and_come_once() {
        let mut ending = Ending::default();
        let mut status = Some(EXIT_REFUSED);
        let mut next = |may_close| ending.next(7, status.take(), may_close);
        assert_eq!(next(true), Some(exit_status(7, EXIT_REFUSED)));
        assert_eq!(next(true), Some(Message::Eof { recipient: 7 }));
        assert_eq!(next(false), None, "the peer may still send");
        assert_eq!(next(true), Some(Message::Close { recipient: 7 }));
        assert_eq!(next(true), None);
        assert!(ending.has_closed());
    }

    #[test]
    fn nothing_follows_a_close() {
        let mut ending = Ending::default();
        assert_eq!(ending.close(7), Some(Message::Close { recipient: 7 }));
        assert_eq!(ending.close(7), None);
        assert_eq!(ending.next(7, Some(0), true), None);
    }
}
