//! Sealing and opening of packets, in place, one key per direction.
//!
//! A packet here is `length || padding length || payload || padding`, the tag behind it. The keys
//! never see a packet twice and never leave this module.

mod cbc;
mod chacha;
mod ctr;
mod framing;
mod gcm;
mod with_mac;

use std::fmt;

use super::algorithm::Cipher;
use super::error::Error;
use framing::length_field;
pub(super) use framing::{Framing, KeyMaterial, LENGTH_LEN};
use with_mac::WithMac;

/// Seals what we send.
pub(super) enum Encryptor {
    /// Before the first key exchange.
    Plain,
    Gcm(gcm::Key),
    Chacha(chacha::Encryptor),
    Ctr(Box<WithMac<ctr::Stream>>),
    Cbc(Box<WithMac<cbc::Encryption>>),
}

impl Encryptor {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        Ok(match keys.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => Self::Gcm(gcm::Key::new(keys)?),
            Cipher::Chacha20Poly1305 => Self::Chacha(chacha::Encryptor::new(keys)?),
            Cipher::Aes128Ctr | Cipher::Aes192Ctr | Cipher::Aes256Ctr => {
                Self::Ctr(Box::new(WithMac::new(keys, ctr::Stream::new(keys)?)?))
            }
            Cipher::Aes128Cbc | Cipher::Aes192Cbc | Cipher::Aes256Cbc => {
                Self::Cbc(Box::new(WithMac::new(keys, cbc::Encryption::new(keys)?)?))
            }
        })
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Plain => Framing::PLAIN,
            Self::Gcm(_) => gcm::FRAMING,
            Self::Chacha(_) => chacha::FRAMING,
            Self::Ctr(key) => key.framing(),
            Self::Cbc(key) => key.framing(),
        }
    }

    /// Encrypts `packet` in place; its last [`Framing::tag`] bytes are room for the tag.
    pub(super) fn seal(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Plain => Ok(()),
            Self::Gcm(key) => key.seal(packet),
            Self::Chacha(key) => key.seal(sequence, packet),
            Self::Ctr(key) => key.seal(sequence, packet),
            Self::Cbc(key) => key.seal(sequence, packet),
        }
    }
}

/// Opens what we receive.
pub(super) enum Decryptor {
    /// Before the first key exchange.
    Plain,
    Gcm(gcm::Key),
    Chacha(chacha::Decryptor),
    Ctr(Box<WithMac<ctr::Stream>>),
    Cbc(Box<WithMac<cbc::Decryption>>),
}

impl Decryptor {
    pub(super) fn new(keys: &KeyMaterial<'_>) -> Result<Self, Error> {
        Ok(match keys.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => Self::Gcm(gcm::Key::new(keys)?),
            Cipher::Chacha20Poly1305 => Self::Chacha(chacha::Decryptor::new(keys)?),
            Cipher::Aes128Ctr | Cipher::Aes192Ctr | Cipher::Aes256Ctr => {
                Self::Ctr(Box::new(WithMac::new(keys, ctr::Stream::new(keys)?)?))
            }
            Cipher::Aes128Cbc | Cipher::Aes192Cbc | Cipher::Aes256Cbc => {
                Self::Cbc(Box::new(WithMac::new(keys, cbc::Decryption::new(keys)?)?))
            }
        })
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Self::Plain => Framing::PLAIN,
            Self::Gcm(_) => gcm::FRAMING,
            Self::Chacha(_) => chacha::FRAMING,
            Self::Ctr(key) => key.framing(),
            Self::Cbc(key) => key.framing(),
        }
    }

    /// How many bytes of a packet must be there before its length can be read.
    pub(super) fn head_len(&self) -> usize {
        match self {
            Self::Ctr(key) => key.head_len(),
            Self::Cbc(key) => key.head_len(),
            Self::Plain | Self::Gcm(_) | Self::Chacha(_) => LENGTH_LEN,
        }
    }

    /// Reads the packet length from `head`, which is [`head_len`](Self::head_len) long and, under
    /// some ciphers, decrypted in place by this. To be called once per packet.
    pub(super) fn open_head(&mut self, sequence: u32, head: &mut [u8]) -> Result<u32, Error> {
        match self {
            Self::Plain | Self::Gcm(_) => length_field(head),
            Self::Chacha(key) => key.open_length(sequence, head),
            Self::Ctr(key) => key.open_head(head),
            Self::Cbc(key) => key.open_head(head),
        }
    }

    /// Authenticates and decrypts a whole packet, tag included, in place.
    pub(super) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Plain => Ok(()),
            Self::Gcm(key) => key.open(packet),
            Self::Chacha(key) => key.open(sequence, packet),
            Self::Ctr(key) => key.open(sequence, packet),
            Self::Cbc(key) => key.open(sequence, packet),
        }
    }

    /// Whether a peer in the middle could learn what an encrypted block holds from how a packet that
    /// begins with it is refused: CBC takes any block as a packet's first, and its plain text for the
    /// length, before any MAC is checked (CVE-2008-5161). Every bad packet must then look the same.
    pub(super) fn tells_by_failing(&self) -> bool {
        matches!(self, Self::Cbc(key) if !key.is_etm())
    }

    /// Spends on `data` the time that checking its MAC would take.
    pub(super) fn waste(&self, sequence: u32, data: &[u8]) {
        if let Self::Cbc(key) = self {
            key.waste(sequence, data);
        }
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encryptor({:?})", self.framing())
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decryptor({:?})", self.framing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::algorithm::Mac;
    use crate::wire::error::Violation;

    const SUITES: &[(Cipher, Option<Mac>)] = &[
        (Cipher::Aes128Gcm, None),
        (Cipher::Aes256Gcm, None),
        (Cipher::Chacha20Poly1305, None),
        (Cipher::Aes128Ctr, Some(Mac::HmacSha256Etm)),
        (Cipher::Aes192Ctr, Some(Mac::HmacSha512)),
        (Cipher::Aes256Ctr, Some(Mac::HmacSha512Etm)),
        (Cipher::Aes256Ctr, Some(Mac::HmacSha256)),
        (Cipher::Aes128Ctr, Some(Mac::HmacSha1)),
        (Cipher::Aes128Cbc, Some(Mac::HmacSha1)),
        (Cipher::Aes192Cbc, Some(Mac::HmacSha1Etm)),
        (Cipher::Aes256Cbc, Some(Mac::HmacSha512)),
        (Cipher::Aes256Cbc, Some(Mac::HmacSha256Etm)),
    ];

    fn pair(cipher: Cipher, mac: Option<Mac>) -> (Encryptor, Decryptor) {
        let material = [7u8; 64];
        let keys = KeyMaterial {
            cipher,
            mac,
            iv: &material[..cipher.iv_len()],
            key: &material[..cipher.key_len()],
            mac_key: &material[..mac.map_or(0, Mac::len)],
        };
        (
            Encryptor::new(&keys).expect("keys"),
            Decryptor::new(&keys).expect("keys"),
        )
    }

    /// A packet of `blocks` blocks, sealed.
    fn sealed(sealer: &mut Encryptor, sequence: u32, blocks: usize) -> (Vec<u8>, Vec<u8>) {
        let framing = sealer.framing();
        let body = blocks * 16 - framing.aligned_prefix();
        let mut plain = u32::try_from(body).expect("small").to_be_bytes().to_vec();
        plain.extend((0..body).map(|n| u8::try_from(n % 251).expect("small")));
        let mut packet = plain.clone();
        packet.resize(packet.len() + framing.tag, 0);
        sealer.seal(sequence, &mut packet).expect("seals");
        (plain, packet)
    }

    #[test]
    fn what_is_sealed_opens_again_in_order() {
        for (cipher, mac) in SUITES {
            let (mut sealer, mut opener) = pair(*cipher, *mac);
            for sequence in 0..5 {
                let blocks = 1 + 700 * usize::try_from(sequence).expect("small");
                let (plain, mut packet) = sealed(&mut sealer, sequence, blocks);
                let head = opener.head_len();
                let length = opener
                    .open_head(sequence, &mut packet[..head])
                    .expect("head");
                assert_eq!(length.to_be_bytes(), plain[..4], "{cipher}");
                opener.open(sequence, &mut packet).expect("opens");
                assert_eq!(packet[4..plain.len()], plain[4..], "{cipher}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for (cipher, mac) in SUITES {
            let (mut sealer, _) = pair(*cipher, *mac);
            let (_, packet) = sealed(&mut sealer, 0, 2);
            for at in 0..packet.len() {
                let (_, mut opener) = pair(*cipher, *mac);
                let mut forged = packet.clone();
                forged[at] ^= 0x10;
                let head = opener.head_len();
                let _length = opener.open_head(0, &mut forged[..head]).expect("head");
                let opened = opener.open(0, &mut forged);
                assert!(
                    matches!(opened, Err(Error::Violation(Violation::Mac))),
                    "{cipher} {mac:?} byte {at}"
                );
            }
        }
    }

    #[test]
    fn replay_is_noticed() {
        for (cipher, mac) in SUITES {
            let (mut sealer, mut opener) = pair(*cipher, *mac);
            let (_, packet) = sealed(&mut sealer, 0, 1);
            let head = opener.head_len();
            for (sequence, fits) in [(0, true), (1, false)] {
                let mut again = packet.clone();
                let _length = opener
                    .open_head(sequence, &mut again[..head])
                    .expect("head");
                assert_eq!(opener.open(sequence, &mut again).is_ok(), fits, "{cipher}");
            }
        }
    }
}
