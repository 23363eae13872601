//! AES-GCM (RFC 5647 as amended by OpenSSH's PROTOCOL 1.6): the length in the clear, as
//! additional data; the nonce counts packets and is never reused, because a key's counter only
//! goes up and keys are changed long before it could wrap.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::framing::{FAILED, Framing, KeyMaterial, LENGTH_LEN, SHORT};
use crate::wire::algorithm::Cipher;
use crate::wire::error::{Error, Violation};

const TAG: usize = 16;

pub(super) const FRAMING: Framing = Framing {
    block: 16,
    length_aligned: false,
    tag: TAG,
};

pub(in crate::wire) struct Key {
    key: LessSafeKey,
    fixed: [u8; 4],
    counter: u64,
}

impl Key {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        let algorithm = match keys.cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            _ => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, keys.key).map_err(|_failed| FAILED)?;
        let (fixed, counter) = keys.iv.split_first_chunk::<4>().ok_or(FAILED)?;
        let counter = counter.try_into().map_err(|_wrong_length| FAILED)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            fixed: *fixed,
            counter: u64::from_be_bytes(counter),
        })
    }

    pub(super) fn seal(&mut self, packet: &mut [u8]) -> Result<(), Error> {
        let nonce = self.next_nonce();
        let (length, rest) = packet.split_first_chunk_mut::<LENGTH_LEN>().ok_or(SHORT)?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(SHORT)?;
        let made = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*length), body)
            .map_err(|_failed| FAILED)?;
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    pub(super) fn open(&mut self, packet: &mut [u8]) -> Result<(), Error> {
        let nonce = self.next_nonce();
        let (length, rest) = packet.split_first_chunk_mut::<LENGTH_LEN>().ok_or(SHORT)?;
        match self.key.open_in_place(nonce, Aad::from(&*length), rest) {
            Ok(_plain) => Ok(()),
            Err(_unspecified) => Err(Violation::Mac.into()),
        }
    }

    fn next_nonce(&mut self) -> Nonce {
        let [a, b, c, d] = self.fixed;
        let [e, f, g, h, i, j, k, l] = self.counter.to_be_bytes();
        self.counter = self.counter.wrapping_add(1);
        let nonce: [u8; NONCE_LEN] = [a, b, c, d, e, f, g, h, i, j, k, l];
        Nonce::assume_unique_for_key(nonce)
    }
}
