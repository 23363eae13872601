//! Output that waits: payloads held back during a key exchange, and the number of replies that a
//! peer has caused and not read yet.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use crate::wire::error::{Error, Misuse, Violation};

/// Most that may be held back, in bytes.
const MAX_HELD: usize = 16 << 20;

/// Most bytes of replies that wait for a peer to take them.
const MAX_REPLIES: u64 = 1 << 20;

/// Least weight of a reply, so that many small ones count as well.
const REPLY_OVERHEAD: u64 = 256;

const LENGTH: usize = 4;

/// Payloads in order, each behind its length.
#[derive(Default)]
pub(super) struct HeldPayloads(BytesMut);

impl HeldPayloads {
    pub(super) fn push(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        let length = head.len() + body.len();
        if self.0.len() + LENGTH + length > MAX_HELD {
            return Err(Misuse::HeldBack.into());
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_HELD")]
        self.0.put_u32(length as u32);
        self.0.put_slice(head);
        self.0.put_slice(body);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<BytesMut> {
        let length = self.0.first_chunk().copied().map(u32::from_be_bytes)? as usize;
        self.0.advance(LENGTH);
        Some(self.0.split_to(length))
    }

    /// Gives its memory back; to be called when it is empty.
    pub(super) fn release(&mut self) {
        self.0 = BytesMut::new();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for HeldPayloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} bytes)", self.len())
    }
}

/// Replies in the output: where each ends there, and its weight.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: VecDeque<(u64, u64)>,
    weight: u64,
}

impl Replies {
    /// Makes room for a reply of `length` bytes that will end at `end` of all output, `taken` of
    /// which has left.
    pub(super) fn admit(&mut self, length: usize, end: u64, taken: u64) -> Result<(), Error> {
        while let Some((_, weight)) = self.waiting.pop_front_if(|(end, _)| *end <= taken) {
            self.weight -= weight;
        }
        let weight = REPLY_OVERHEAD + length as u64;
        if self.weight + weight > MAX_REPLIES {
            return Err(Violation::Flood.into());
        }
        self.waiting.push_back((end, weight));
        self.weight += weight;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_out_in_order() {
        let mut held = HeldPayloads::default();
        held.push(b"a", b"bc").expect("room");
        held.push(b"d", b"").expect("room");
        assert_eq!(held.pop().expect("first")[..], *b"abc");
        assert_eq!(held.pop().expect("second")[..], *b"d");
        assert_eq!(held.pop(), None);
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = HeldPayloads::default();
        let body = vec![0; 1 << 20];
        let pushed = (0..20)
            .take_while(|_| held.push(b"x", &body).is_ok())
            .count();
        assert_eq!(pushed, 15);
    }

    #[test]
    fn replies_count_until_they_are_taken() {
        let mut replies = Replies::default();
        let mut end = 0;
        let admitted = (0..100_000)
            .take_while(|_| {
                end += 10;
                replies.admit(10, end, 0).is_ok()
            })
            .count();
        assert!((1000..10_000).contains(&admitted));
        assert!(replies.admit(10, end, end).is_ok(), "all were taken");
        assert_eq!(replies.waiting.len(), 1);
    }
}
