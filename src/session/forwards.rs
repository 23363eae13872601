//! All forwarded channels of a connection, in one recording.
//!
//! The channels alternate in it: before the bytes of another channel, a note names that channel, so
//! that every byte belongs to exactly one channel. Channels are numbered from 1, and numbers are
//! not reused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::recorded_session::RecordedSession;
use crate::recording::{ChannelNote, Side as NoteSide};
use crate::relay::{ChannelKey, Destination, Note, Stream};

/// The forwards of one connection.
#[derive(Debug)]
pub(super) struct Forwards {
    pub(super) sitting: RecordedSession,
    /// Open channels: the relay's key, and the number in the recording.
    open: BTreeMap<ChannelKey, u64>,
    /// How many channels there were so far.
    count: u64,
    /// The channel of the last bytes.
    speaking: u64,
}

impl Forwards {
    pub(super) fn new(sitting: RecordedSession) -> Self {
        Self {
            sitting,
            open: BTreeMap::new(),
            count: 0,
            speaking: 0,
        }
    }

    /// Records a channel that is about to be opened; returns its number.
    pub(super) fn open(
        &mut self,
        now: Duration,
        channel: ChannelKey,
        destination: &Destination,
    ) -> u64 {
        self.count += 1;
        self.open.insert(channel, self.count);
        self.speaking = self.count;
        let opener = match destination {
            Destination::Tcp { .. } | Destination::Unix(_) => NoteSide::Client,
            Destination::ListeningTcp { .. }
            | Destination::ListeningUnix(_)
            | Destination::X11
            | Destination::Agent => NoteSide::Host,
        };
        let note = ChannelNote::new(opener, "open")
            .with("channel", self.count)
            .with("type", destination.kind())
            .with_bytes("address", &destination.address_bytes());
        self.sitting.request(now, &note);
        self.count
    }

    /// Records bytes of an open channel; `false` if it is not a forwarded channel.
    pub(super) fn data(
        &mut self,
        now: Duration,
        channel: ChannelKey,
        stream: Stream,
        bytes: &[u8],
    ) -> bool {
        if !self.speaks(now, channel) {
            return false;
        }
        self.sitting.data(now, stream, bytes);
        true
    }

    pub(super) fn note(&mut self, now: Duration, channel: ChannelKey, note: &Note) {
        if self.speaks(now, channel) {
            self.sitting.note(now, note);
        }
    }

    pub(super) fn close(&mut self, now: Duration, channel: ChannelKey) {
        if let Some(number) = self.open.remove(&channel) {
            let note = ChannelNote::new(NoteSide::Proxy, "close").with("channel", number);
            self.sitting.request(now, &note);
        }
    }

    /// The following bytes belong to this channel.
    fn speaks(&mut self, now: Duration, channel: ChannelKey) -> bool {
        let Some(number) = self.open.get(&channel).copied() else {
            return false;
        };
        if std::mem::replace(&mut self.speaking, number) != number {
            let note = ChannelNote::new(NoteSide::Proxy, "channel").with("channel", number);
            self.sitting.request(now, &note);
        }
        true
    }
}
