//! Packets that are kept for the relay that will take a connection over.

use std::collections::VecDeque;

use bytes::Bytes;

/// What a packet takes beside its bytes.
const OVERHEAD: usize = 128;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepLimits {
    /// Packets.
    pub(crate) packets: usize,
    /// Bytes, 128 for each packet included.
    pub(crate) bytes: usize,
}

impl KeepLimits {
    /// Nothing is kept.
    pub(crate) const NOTHING: Self = Self {
        packets: 0,
        bytes: 0,
    };
}

/// Packets in the order in which they came.
#[derive(Debug)]
pub(super) struct KeptPackets {
    packets: VecDeque<Bytes>,
    bytes: usize,
    limits: KeepLimits,
}

impl KeptPackets {
    pub(super) fn new(limits: KeepLimits) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            limits,
        }
    }

    /// Keeps a copy, so that the read that a packet came with is let go; `false` when there is too
    /// much.
    #[must_use]
    pub(super) fn keep(&mut self, payload: &Bytes) -> bool {
        self.bytes += payload.len() + OVERHEAD;
        let fits = self.bytes <= self.limits.bytes && self.packets.len() < self.limits.packets;
        if fits {
            self.packets.push_back(Bytes::copy_from_slice(payload));
        }
        fits
    }

    /// All of them; none is left.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_their_bytes_are_bounded() {
        let packet = Bytes::from_static(&[98; 72]);
        let mut kept = KeptPackets::new(KeepLimits {
            packets: 9,
            bytes: 1_000,
        });
        let fitting = (0..9).take_while(|_| kept.keep(&packet)).count();
        assert_eq!(fitting, 5, "of 200 bytes each");
        assert_eq!(kept.take().len(), 5);
        let mut kept = KeptPackets::new(KeepLimits {
            packets: 3,
            bytes: 1_000,
        });
        let fitting = (0..9).take_while(|_| kept.keep(&packet)).count();
        assert_eq!(fitting, 3);
    }
}
