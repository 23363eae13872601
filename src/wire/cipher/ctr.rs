//! AES in counter mode (RFC 4344 section 4).
//!
//! The library's stream cipher takes its input and its output apart, so bytes pass through a small
//! scratch buffer here: a copy that the other ciphers do without.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::framing::{FAILED, KeyMaterial, SHORT};
use super::with_mac::{BLOCK, Mode};
use crate::wire::algorithm::Cipher;
use crate::wire::error::Error;

const SCRATCH: usize = 4096;

/// One direction; counter mode decrypts by encrypting.
pub(in crate::wire) struct Stream {
    stream: StreamingEncryptingKey,
    scratch: Box<[u8; SCRATCH]>,
}

impl Stream {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        let algorithm = match keys.cipher {
            Cipher::Aes128Ctr => &AES_128,
            Cipher::Aes192Ctr => &AES_192,
            _ => &AES_256,
        };
        let key = UnboundCipherKey::new(algorithm, keys.key).map_err(|_failed| FAILED)?;
        let iv: FixedLength<BLOCK> = keys.iv.try_into().map_err(|_wrong_length| FAILED)?;
        let context = EncryptionContext::Iv128(iv);
        let stream =
            StreamingEncryptingKey::less_safe_ctr(key, context).map_err(|_failed| FAILED)?;
        Ok(Self {
            stream,
            scratch: Box::new([0; SCRATCH]),
        })
    }
}

impl Mode for Stream {
    /// Runs the key stream over `data`.
    fn apply(&mut self, data: &mut [u8]) -> Result<(), Error> {
        for chunk in data.chunks_mut(SCRATCH) {
            let scratch = self.scratch.get_mut(..chunk.len()).ok_or(SHORT)?;
            scratch.copy_from_slice(chunk);
            let written = self
                .stream
                .less_safe_update(scratch, chunk)
                .map_err(|_failed| FAILED)?;
            if !written.remainder().is_empty() {
                return Err(FAILED);
            }
        }
        Ok(())
    }
}
