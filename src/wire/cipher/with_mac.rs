//! A cipher that does not authenticate, and HMAC around it: encrypt-then-MAC (OpenSSH's PROTOCOL
//! 1.1), or over the plain packet (RFC 4253 section 6.4).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::framing::{FAILED, Framing, KeyMaterial, LENGTH_LEN, SHORT, length_field};
use crate::wire::algorithm::Mac;
use crate::wire::error::{Error, Violation};

/// Both AES modes have this block size.
pub(super) const BLOCK: usize = 16;

/// One direction of a cipher.
pub(in crate::wire) trait Mode {
    /// Encrypts or decrypts `data`, a multiple of the block size, as what follows on the last call.
    fn apply(&mut self, data: &mut [u8]) -> Result<(), Error>;
}

/// One direction of a cipher with its MAC.
pub(in crate::wire) struct WithMac<M> {
    mode: M,
    mac: Mac,
    mac_key: hmac::Key,
}

impl<M: Mode> WithMac<M> {
    pub(super) fn new(keys: &KeyMaterial<'_>, mode: M) -> Result<Self, Error> {
        let mac = keys.mac.ok_or(FAILED)?;
        Ok(Self {
            mode,
            mac,
            mac_key: hmac::Key::new(mac.hmac(), keys.mac_key),
        })
    }

    pub(super) const fn framing(&self) -> Framing {
        Framing {
            block: BLOCK,
            length_aligned: !self.is_etm(),
            tag: self.mac.len(),
        }
    }

    pub(super) const fn is_etm(&self) -> bool {
        self.mac.is_etm()
    }

    /// With a MAC over the plain packet, the length is inside the first block.
    pub(super) const fn head_len(&self) -> usize {
        if self.is_etm() { LENGTH_LEN } else { BLOCK }
    }

    pub(super) fn open_head(&mut self, head: &mut [u8]) -> Result<u32, Error> {
        if !self.is_etm() {
            self.mode.apply(head)?;
        }
        length_field(head)
    }

    pub(super) fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        let (packet, tag) = self.split_tag(packet)?;
        if self.is_etm() {
            self.mode
                .apply(packet.get_mut(LENGTH_LEN..).ok_or(SHORT)?)?;
            tag.copy_from_slice(self.tag(sequence, packet).as_ref());
        } else {
            tag.copy_from_slice(self.tag(sequence, packet).as_ref());
            self.mode.apply(packet)?;
        }
        Ok(())
    }

    pub(super) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        let head = self.head_len();
        let (packet, tag) = self.split_tag(packet)?;
        if self.is_etm() {
            self.check(sequence, packet, tag)?;
            self.mode.apply(packet.get_mut(head..).ok_or(SHORT)?)
        } else {
            self.mode.apply(packet.get_mut(head..).ok_or(SHORT)?)?;
            self.check(sequence, packet, tag)
        }
    }

    /// Does the work of a MAC over `data`, for nothing but the time that it takes.
    pub(super) fn waste(&self, sequence: u32, data: &[u8]) {
        let _never_compared = self.tag(sequence, data);
    }

    fn split_tag<'a>(&self, packet: &'a mut [u8]) -> Result<(&'a mut [u8], &'a mut [u8]), Error> {
        let end = packet.len().checked_sub(self.mac.len()).ok_or(SHORT)?;
        packet.split_at_mut_checked(end).ok_or(SHORT)
    }

    fn check(&self, sequence: u32, packet: &[u8], tag: &[u8]) -> Result<(), Error> {
        verify_slices_are_equal(self.tag(sequence, packet).as_ref(), tag)
            .map_err(|_differs| Violation::Mac.into())
    }

    fn tag(&self, sequence: u32, packet: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac_key);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        context.sign()
    }
}
