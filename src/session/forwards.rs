//! All forwarded channels of a connection, in one recording.
//!
//! Channels take turns in it: whenever another one speaks, a note says which, so that every byte
//! belongs to exactly one channel. Channels are counted from 1 and never share a number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::recorded_session::RecordedSession;
use crate::recording::{ChannelNote, Side as NoteSide};
use crate::relay::{ChannelKey, Destination, Note, Stream};

/// The forwards of one connection.
#[derive(Debug)]
pub(super) struct Forwards {
    pub(super) sitting: RecordedSession,
    /// Open channels, by the relay's number, with ours.
    open: BTreeMap<ChannelKey, u64>,
    /// How many there have been.
    count: u64,
    /// Which one speaks.
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

    /// Notes a channel that is about to be opened; its number.
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

    /// Takes bytes of an open channel; `false` when it is none of ours.
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

    /// What follows is this channel's.
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
