//! AES in cipher block chaining mode (RFC 4253 section 6.3), for hosts that support nothing better.
//!
//! The last encrypted block of a packet is the initial vector of the next, so each direction is one
//! chain. The library does not store the chain; this file does.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};

use super::framing::{FAILED, KeyMaterial, SHORT};
use super::with_mac::{BLOCK, Mode};
use crate::wire::algorithm::Cipher;
use crate::wire::error::Error;

/// The sending direction.
pub(in crate::wire) struct Encryption {
    key: EncryptingKey,
    last: [u8; BLOCK],
}

/// The receiving direction.
pub(in crate::wire) struct Decryption {
    key: DecryptingKey,
    last: [u8; BLOCK],
}

impl Encryption {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        Ok(Self {
            key: EncryptingKey::cbc(unbound(keys)?).map_err(|_failed| FAILED)?,
            last: keys.iv.try_into().map_err(|_wrong_length| FAILED)?,
        })
    }
}

impl Decryption {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        Ok(Self {
            key: DecryptingKey::cbc(unbound(keys)?).map_err(|_failed| FAILED)?,
            last: keys.iv.try_into().map_err(|_wrong_length| FAILED)?,
        })
    }
}

fn unbound(keys: &KeyMaterial<'_>) -> Result<UnboundCipherKey, Error> {
    let algorithm = match keys.cipher {
        Cipher::Aes128Cbc => &AES_128,
        Cipher::Aes192Cbc => &AES_192,
        _ => &AES_256,
    };
    UnboundCipherKey::new(algorithm, keys.key).map_err(|_failed| FAILED)
}

impl Mode for Encryption {
    fn apply(&mut self, data: &mut [u8]) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        let context = EncryptionContext::Iv128((&self.last).into());
        self.key
            .less_safe_encrypt(data, context)
            .map_err(|_failed| FAILED)?;
        self.last = *data.last_chunk().ok_or(SHORT)?;
        Ok(())
    }
}

impl Mode for Decryption {
    fn apply(&mut self, data: &mut [u8]) -> Result<(), Error> {
        // A packet of one block is all head: nothing is left of it.
        let Some(last) = data.last_chunk().copied() else {
            return match data.is_empty() {
                true => Ok(()),
                false => Err(SHORT),
            };
        };
        let context = DecryptionContext::Iv128((&self.last).into());
        self.key.decrypt(data, context).map_err(|_failed| FAILED)?;
        self.last = last;
        Ok(())
    }
}
