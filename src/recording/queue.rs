//! Events that are recorded and not committed yet: one buffer for all their bytes.

use super::event::Stream;
use super::text;

/// What a queued event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueuedKind {
    /// Bytes of a stream.
    Bytes(Stream),
    /// So many bytes that are not stored.
    Withheld(u64),
    /// So many bytes that were not recorded; the line's data are the bytes.
    Gap(u64),
    /// A line with this code; its data are the bytes.
    Line(char),
}

#[derive(Debug)]
struct Record {
    at_ms: u64,
    entry: QueuedKind,
    end: usize,
}

/// The queue, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: Vec<Record>,
    bytes: Vec<u8>,
}

impl Queue {
    /// Adds an event. Bytes of the same stream in the same millisecond become one event, and so
    /// do the two halves of a character.
    pub(super) fn push(&mut self, at_ms: u64, entry: QueuedKind, bytes: &[u8]) {
        let joins = self.records.last().is_some_and(|last| {
            let is_bytes = matches!(entry, QueuedKind::Bytes(_));
            is_bytes
                && last.entry == entry
                && (last.at_ms == at_ms || text::ends_inside_character(&self.bytes))
        });
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        match self.records.last_mut() {
            Some(last) if joins => last.end = end,
            Some(Record {
                at_ms: last_at,
                entry: QueuedKind::Withheld(sum),
                ..
            }) if *last_at == at_ms && matches!(entry, QueuedKind::Withheld(_)) => {
                if let QueuedKind::Withheld(more) = entry {
                    *sum = sum.saturating_add(more);
                }
            }
            _ => self.records.push(Record { at_ms, entry, end }),
        }
    }

    /// The events: time in milliseconds, what, bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, QueuedKind, &[u8])> {
        let mut start = 0;
        self.records.iter().map(move |record| {
            let bytes = self.bytes.get(start..record.end).unwrap_or_default();
            start = record.end;
            (record.at_ms, record.entry, bytes)
        })
    }

    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of streams that go missing when these events are dropped.
    pub(super) fn relayed(&self) -> u64 {
        self.iter()
            .map(|(_, entry, bytes)| match entry {
                QueuedKind::Bytes(_) => bytes.len() as u64,
                QueuedKind::Withheld(count) | QueuedKind::Gap(count) => count,
                QueuedKind::Line(_) => 0,
            })
            .fold(0, u64::saturating_add)
    }

    /// Bytes that the events hold.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that the queue holds.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<Record>()
    }

    /// Forgets the events, keeps the room.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
    }

    /// Gives the room back.
    pub(super) fn shrink(&mut self) {
        self.records.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }
}
