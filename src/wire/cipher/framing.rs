//! What all ciphers share: their key material, and the alignment of packets.

use crate::wire::algorithm::{Cipher, Mac};
use crate::wire::error::{Error, Violation};

/// Length of the packet length field.
pub(in crate::wire) const LENGTH_LEN: usize = 4;

/// The cryptographic library does not say more than that something failed.
pub(in crate::wire) const FAILED: Error = Error::Crypto("cipher");

/// What a direction's keys are made from (RFC 4253 section 7.2), and for which algorithms.
pub(in crate::wire) struct KeyMaterial<'a> {
    pub(in crate::wire) cipher: Cipher,
    /// `None` for the ciphers that authenticate by themselves.
    pub(in crate::wire) mac: Option<Mac>,
    pub(in crate::wire) iv: &'a [u8],
    pub(in crate::wire) key: &'a [u8],
    pub(in crate::wire) mac_key: &'a [u8],
}

/// Alignment and sizes of packets under a cipher.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Framing {
    /// What the encrypted part must be a multiple of, at least 8.
    pub(in crate::wire) block: usize,
    /// Whether the length field counts as part of what is aligned.
    pub(in crate::wire) length_aligned: bool,
    /// Length of the tag.
    pub(in crate::wire) tag: usize,
}

impl Framing {
    pub(in crate::wire) const PLAIN: Self = Self {
        block: 8,
        length_aligned: true,
        tag: 0,
    };

    /// Bytes of the length field that count when a packet is aligned.
    pub(in crate::wire) const fn aligned_prefix(self) -> usize {
        if self.length_aligned { LENGTH_LEN } else { 0 }
    }
}

/// The packet length, in the clear.
pub(in crate::wire) fn length_field(head: &[u8]) -> Result<u32, Error> {
    let bytes = head.first_chunk().ok_or(SHORT)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// A packet shorter than its own tag cannot get here: lengths are checked before.
pub(in crate::wire) const SHORT: Error = Error::Violation(Violation::PacketLength(0));
