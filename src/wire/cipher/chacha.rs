//! `chacha20-poly1305@openssh.com` (OpenSSH's PROTOCOL.chacha20poly1305): the length is encrypted
//! with a key of its own; the nonce is the packet's sequence number.

use aws_lc_rs::aead::chacha20_poly1305_openssh::{KEY_LEN, OpeningKey, SealingKey, TAG_LEN};

use super::framing::{FAILED, Framing, KeyMaterial, LENGTH_LEN, SHORT};
use crate::wire::error::{Error, Violation};

pub(super) const FRAMING: Framing = Framing {
    block: 8,
    length_aligned: false,
    tag: TAG_LEN,
};

pub(in crate::wire) struct Encryptor(SealingKey);

impl Encryptor {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        let key: &[u8; KEY_LEN] = keys.key.try_into().map_err(|_wrong_length| FAILED)?;
        Ok(Self(SealingKey::new(key)))
    }

    pub(super) fn seal(&self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(SHORT)?;
        // The library splits off the length without looking.
        if packet.len() < LENGTH_LEN {
            return Err(SHORT);
        }
        self.0.seal_in_place(sequence, packet, tag);
        Ok(())
    }
}

pub(in crate::wire) struct Decryptor(OpeningKey);

impl Decryptor {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        let key: &[u8; KEY_LEN] = keys.key.try_into().map_err(|_wrong_length| FAILED)?;
        Ok(Self(OpeningKey::new(key)))
    }

    /// The length is not authenticated yet: it may only be used to know how much to wait for.
    pub(super) fn open_length(&self, sequence: u32, head: &[u8]) -> Result<u32, Error> {
        let encrypted = head.first_chunk().ok_or(SHORT)?;
        let length = self.0.decrypt_packet_length(sequence, *encrypted);
        Ok(u32::from_be_bytes(length))
    }

    pub(super) fn open(&self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG_LEN>().ok_or(SHORT)?;
        if packet.len() < LENGTH_LEN {
            return Err(SHORT);
        }
        match self.0.open_in_place(sequence, packet, tag) {
            Ok(_plain) => Ok(()),
            Err(_unspecified) => Err(Violation::Mac.into()),
        }
    }
}
