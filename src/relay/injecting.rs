//! Bytes of the proxy's own in a running session: what participants type, and notices to the client.
//!
//! Both use window that was promised to the other side, see [`super::window`].

use bytes::Bytes;

use super::Side;
use super::channel::{Channel, ChannelPhase};
use super::relaying::{Outgoing, Relay};
use super::step::{NESTED_SSH, Step, data_of};
use super::tap::{ChannelKey, Stream, Tap};
use crate::model::ParticipantId;

/// How many messages one call may result in, and how many of them may be held back: a side that accepts
/// only tiny messages gets less at a time.
const MAX_MESSAGES: u32 = 1_024;

impl Relay {
    /// Sends to the host what a participant has typed into a session, as the client's own input. The
    /// tap sees it first; `out` gets the messages, which may be sent once the tap has committed.
    ///
    /// Returns how many bytes were taken, from the first. The others can be offered again after the
    /// host's next packets. It takes none if the host accepts no more now, if the session has not begun,
    /// if the client has sent EOF or CLOSE, if the session ends, and if the bytes begin SSH inside the
    /// session where that is not permitted, which ends it.
    pub fn inject(
        &mut self,
        key: ChannelKey,
        participant: ParticipantId,
        bytes: &Bytes,
        tap: &mut impl Tap,
        out: &mut Vec<Outgoing>,
    ) -> usize {
        let mut step = Step {
            relay: self,
            from: Side::Client,
            tap,
            out,
        };
        step.inject(key, participant, bytes)
    }

    /// Sends a notice of the proxy's own to the client, as standard error of a running session. The tap
    /// sees it first; `out` gets the messages, which may be sent once the tap has committed.
    ///
    /// Returns whether it was sent: all of it, or nothing if the client accepts less now, if the session
    /// has not begun, and if it ends.
    pub fn notify(
        &mut self,
        key: ChannelKey,
        text: &str,
        tap: &mut impl Tap,
        out: &mut Vec<Outgoing>,
    ) -> bool {
        let mut step = Step {
            relay: self,
            from: Side::Host,
            tap,
            out,
        };
        step.notify(key, text)
    }

    /// The memory of the data that is held back because the proxy has used window for bytes of its own,
    /// in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        // Without such bytes, nothing is held.
        if !self.has_own_bytes {
            return 0;
        }
        let held =
            |channel: &Channel| channel.client.window.memory() + channel.host.window.memory();
        self.channels.values().map(held).sum()
    }
}

impl<T: Tap> Step<'_, T> {
    fn inject(&mut self, key: ChannelKey, participant: ParticipantId, bytes: &Bytes) -> usize {
        let permitted = self.relay.permissions.nested_ssh;
        let Some((channel, room)) = self.running(key) else {
            return 0;
        };
        let taken = bytes.slice(..bytes.len().min(room as usize));
        let ChannelPhase::Running(watch) = &mut channel.phase else {
            return 0;
        };
        if taken.is_empty() {
            return 0;
        }
        if watch.sees_ssh(Side::Client, &taken) && !permitted {
            self.end_nested_ssh(key.0, NESTED_SSH);
            return 0;
        }
        self.tap.injected(key, participant, &taken);
        self.send_own(key, Stream::Stdin, taken)
    }

    fn notify(&mut self, key: ChannelKey, text: &str) -> bool {
        let room = self.running(key).map(|(_, room)| room as usize);
        if text.is_empty() || room.is_none_or(|room| room < text.len()) {
            return false;
        }
        self.tap.notified(key, text);
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.send_own(key, Stream::Stderr, text) > 0
    }

    /// The channel of a running session to whose other side bytes can be added, and how many.
    fn running(&mut self, key: ChannelKey) -> Option<(&mut Channel, u32)> {
        let (from, to) = (self.from, self.from.other());
        let channel = self.relay.channels.get_mut(&key.0)?;
        if !matches!(channel.phase, ChannelPhase::Running(_))
            || channel.client.replies.awaits_start()
            || channel.is_deaf(to)
        {
            return None;
        }
        let sender = channel.end(from);
        if sender.said_eof || sender.said_close {
            return None;
        }
        let receiver = channel.end(to);
        let most = receiver.max_packet.saturating_mul(MAX_MESSAGES);
        let room = match to {
            Side::Client => receiver.window.room_for_notice(most),
            Side::Host => receiver.window.room_for_input(most),
        };
        Some((channel, room))
    }

    /// Sends bytes of the proxy's own for which there is room; returns how many.
    fn send_own(&mut self, key: ChannelKey, stream: Stream, mut bytes: Bytes) -> usize {
        let to = self.from.other();
        let Some(channel) = self.relay.channels.get_mut(&key.0) else {
            return 0;
        };
        let length = bytes.len();
        let receiver = channel.end(to);
        receiver
            .window
            .add_own(u32::try_from(length).unwrap_or(u32::MAX));
        let (recipient, most) = (receiver.number, receiver.max_packet as usize);
        while !bytes.is_empty() {
            let message = data_of(stream, recipient, bytes.split_to(bytes.len().min(most)));
            self.out.push(Outgoing { to, message });
        }
        self.relay.has_own_bytes = true;
        length
    }
}
