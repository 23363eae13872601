//! Binary packets (RFC 4253 section 6): framing, sequence numbers, and what a key has been used for.
//!
//! Built and encrypted in the output buffer, decrypted in the input buffer; payloads are handed on
//! as a slice of it.

use std::mem;

use aws_lc_rs::rand;
use bytes::{Buf, BufMut, BytesMut};

use super::cipher::{Decryptor, Encryptor, LENGTH_LEN};
use super::compression::{CompressionState, Deflater, Inflater};
use super::error::{Error, Misuse, Violation};
use super::message::MAX_PACKET;

/// Largest payload that we send: leaves room for padding, and for what incompressible data grows.
const MAX_PAYLOAD: usize = MAX_PACKET - 256;

/// Least padding.
const MIN_PADDING: usize = 4;

/// After this many packets under one key its sequence numbers repeat (RFC 4344 section 3.1).
const MAX_PACKETS: u64 = 1 << 32;

/// What a key has been used for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Usage {
    fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// Writes packets to the output.
#[derive(Debug)]
pub(super) struct PacketWriter {
    out: BytesMut,
    /// All bytes ever put into `out`.
    total: u64,
    sealer: Encryptor,
    compression: CompressionState<Deflater>,
    sequence: u32,
    usage: Usage,
    padding: PaddingPool,
}

impl PacketWriter {
    pub(super) fn new() -> Self {
        Self {
            out: BytesMut::new(),
            total: 0,
            sealer: Encryptor::Plain,
            compression: CompressionState::Off,
            sequence: 0,
            usage: Usage::default(),
            padding: PaddingPool::default(),
        }
    }

    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// All bytes ever written, and those of them that the driver has taken.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.total, self.total.saturating_sub(self.out.len() as u64))
    }

    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Puts bytes out as they are: the identification.
    pub(super) fn write_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.total += bytes.len() as u64;
    }

    /// Whether a payload of this length can be sent, even if compression makes it longer.
    pub(super) const fn fits(payload: usize) -> bool {
        payload > 0 && payload <= MAX_PAYLOAD
    }

    /// Builds a packet with the payload `head || body`, encrypted in place.
    pub(super) fn write(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        if !Self::fits(head.len() + body.len()) {
            return Err(Misuse::Payload.into());
        }
        if self.usage.packets >= MAX_PACKETS {
            return Err(Misuse::State("the keys are used up").into());
        }
        match mem::replace(&mut self.compression, CompressionState::Off) {
            CompressionState::On(mut deflater) => {
                let written = deflater
                    .deflate(head, body)
                    .and_then(|payload| self.write_packet(payload, &[]));
                self.compression = CompressionState::On(deflater);
                written
            }
            other => {
                self.compression = other;
                self.write_packet(head, body)
            }
        }
    }

    fn write_packet(&mut self, head: &[u8], body: &[u8]) -> Result<(), Error> {
        let payload = head.len() + body.len();
        let framing = self.sealer.framing();
        let padding = padding(framing.aligned_prefix() + 1 + payload, framing.block);
        let length = 1 + payload + padding;
        let random = self.padding.take(padding)?;
        let start = self.out.len();
        self.out.reserve(LENGTH_LEN + length + framing.tag);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most MAX_PACKET and 255"
        )]
        {
            self.out.put_u32(length as u32);
            self.out.put_u8(padding as u8);
        }
        self.out.put_slice(head);
        self.out.put_slice(body);
        self.out.put_slice(random);
        self.out.put_bytes(0, framing.tag);
        let packet = self.out.get_mut(start..).unwrap_or_default();
        let sealed = packet.len();
        self.sealer.seal(self.sequence, packet)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.usage.count(sealed);
        self.total += sealed as u64;
        Ok(())
    }

    /// Takes new keys into use for what follows.
    pub(super) fn change_keys(
        &mut self,
        sealer: Encryptor,
        compression: CompressionState<Deflater>,
        reset_sequence: bool,
    ) {
        self.sealer = sealer;
        self.compression = compression;
        self.usage = Usage::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// User authentication has succeeded.
    pub(super) fn authenticated(&mut self) {
        self.compression.authenticated();
    }
}

/// Random bytes for paddings. Drawn many at a time: the generator mixes in fresh entropy at every
/// call, which costs more than encrypting a small packet.
#[derive(Debug)]
struct PaddingPool {
    random: Box<[u8; Self::SIZE]>,
    used: usize,
}

impl PaddingPool {
    /// Enough for the padding of some dozen packets, and for the longest there is.
    const SIZE: usize = 256;

    fn take(&mut self, length: usize) -> Result<&[u8], Error> {
        if self.used + length > Self::SIZE {
            if rand::fill(self.random.as_mut_slice()).is_err() {
                return Err(Error::Crypto("entropy"));
            }
            self.used = 0;
        }
        let start = self.used;
        self.used += length;
        self.random
            .get(start..self.used)
            .ok_or(Error::Crypto("padding"))
    }
}

impl Default for PaddingPool {
    fn default() -> Self {
        Self {
            random: Box::new([0; Self::SIZE]),
            used: Self::SIZE,
        }
    }
}

/// Padding that brings `length` to a multiple of `block`.
const fn padding(length: usize, block: usize) -> usize {
    let padding = block - length % block;
    if padding < MIN_PADDING {
        padding + block
    } else {
        padding
    }
}

/// Reads packets from the input.
#[derive(Debug)]
pub(super) struct PacketReader {
    opener: Decryptor,
    compression: CompressionState<Inflater>,
    sequence: u32,
    usage: Usage,
    front: Front,
}

/// What is known of the packet at the front of the input.
#[derive(Clone, Copy, Debug)]
enum Front {
    /// Nothing: its head has not been opened.
    Unread,
    /// The length that its head says.
    Length(usize),
    /// It is bad, and under a cipher that tells by failing. It is read on up to the end of the
    /// longest packet that there can be, as OpenSSH does, so that an attacker learns nothing from how much we
    /// take what its first block holds. So many bytes of it are done with.
    Condemned(usize),
}

impl PacketReader {
    pub(super) const fn new() -> Self {
        Self {
            opener: Decryptor::Plain,
            compression: CompressionState::Off,
            sequence: 0,
            usage: Usage {
                packets: 0,
                bytes: 0,
            },
            front: Front::Unread,
        }
    }

    /// Sequence number of the next packet.
    pub(super) const fn sequence(&self) -> u32 {
        self.sequence
    }

    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// How many bytes the input must hold for the next step, as far as that is known.
    pub(super) fn wanted(&self) -> usize {
        match self.front {
            Front::Unread => self.opener.head_len(),
            Front::Length(length) => self.total(length),
            Front::Condemned(done) => self.total(MAX_PACKET).saturating_sub(done),
        }
    }

    /// A packet with its length field and its tag.
    fn total(&self, length: usize) -> usize {
        LENGTH_LEN + length + self.opener.framing().tag
    }

    /// The next packet's payload, never empty, or `None` if more input is needed.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
        let length = match self.front {
            Front::Length(length) => length,
            Front::Condemned(done) => return self.condemn(input, done),
            Front::Unread => {
                let Some(head) = input.get_mut(..self.opener.head_len()) else {
                    return Ok(None);
                };
                let length = self.opener.open_head(self.sequence, head)?;
                match self.check_length(length) {
                    Ok(length) => length,
                    Err(_) if self.opener.tells_by_failing() => return self.condemn(input, 0),
                    Err(error) => return Err(error),
                }
            }
        };
        self.front = Front::Length(length);
        let total = self.total(length);
        if input.len() < total {
            return Ok(None);
        }
        let mut packet = input.split_to(total);
        match self.opener.open(self.sequence, &mut packet) {
            Err(Error::Violation(Violation::Mac)) if self.opener.tells_by_failing() => {
                return self.condemn(input, total);
            }
            opened => opened?,
        }
        self.front = Front::Unread;
        self.sequence = self.sequence.wrapping_add(1);
        self.usage.count(total);
        if self.usage.packets >= MAX_PACKETS {
            return Err(Violation::KeyOveruse.into());
        }
        packet.truncate(total - self.opener.framing().tag);
        let payload = strip_padding(packet)?;
        match &mut self.compression {
            CompressionState::On(inflater) => inflater.inflate(&payload).map(Some),
            CompressionState::Off | CompressionState::Delayed => Ok(Some(payload)),
        }
    }

    /// Reads on as [`Front::Condemned`] says; then, and with the same words whatever was wrong, the
    /// connection ends.
    fn condemn(&mut self, input: &BytesMut, done: usize) -> Result<Option<BytesMut>, Error> {
        self.front = Front::Condemned(done);
        match input.get(..self.wanted()) {
            None => Ok(None),
            Some(rest) => {
                self.opener.waste(self.sequence, rest);
                Err(Violation::Mac.into())
            }
        }
    }

    fn check_length(&self, field: u32) -> Result<usize, Error> {
        let framing = self.opener.framing();
        let length = field as usize;
        let aligned = (framing.aligned_prefix() + length).is_multiple_of(framing.block);
        // Padding length, one byte of payload, padding.
        if !aligned || !(2 + MIN_PADDING..=MAX_PACKET).contains(&length) {
            return Err(Violation::PacketLength(field).into());
        }
        Ok(length)
    }

    /// Takes new keys into use for what follows.
    pub(super) fn change_keys(
        &mut self,
        opener: Decryptor,
        compression: CompressionState<Inflater>,
        reset_sequence: bool,
    ) {
        self.opener = opener;
        self.compression = compression;
        self.usage = Usage::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// User authentication has succeeded.
    pub(super) fn authenticated(&mut self) {
        self.compression.authenticated();
    }
}

/// Cuts a decrypted packet to its payload.
fn strip_padding(mut packet: BytesMut) -> Result<BytesMut, Error> {
    let padding = packet.get(LENGTH_LEN).copied().unwrap_or_default();
    let payload_end = packet.len().saturating_sub(usize::from(padding));
    if usize::from(padding) < MIN_PADDING || payload_end <= LENGTH_LEN + 1 {
        return Err(Violation::Padding(padding).into());
    }
    packet.truncate(payload_end);
    packet.advance(LENGTH_LEN + 1);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::algorithm::{Cipher, Mac};
    use crate::wire::cipher::KeyMaterial;

    fn plain_packet(length: u32, padding: u8, rest: usize) -> BytesMut {
        let mut packet = BytesMut::new();
        packet.put_u32(length);
        packet.put_u8(padding);
        packet.put_bytes(9, rest);
        packet
    }

    #[test]
    fn writes_what_it_reads() {
        let mut writer = PacketWriter::new();
        for size in [1, 3, 8, 11, 12, 255, 40_000] {
            writer.write(&[5], &vec![1; size - 1]).expect("fits");
        }
        let mut reader = PacketReader::new();
        let mut input = writer.output().split();
        for size in [1, 3, 8, 11, 12, 255, 40_000] {
            let payload = reader.read(&mut input).expect("valid").expect("whole");
            assert_eq!(payload.len(), size);
        }
        assert!(input.is_empty());
        assert_eq!(reader.sequence(), 7);
    }

    #[test]
    fn padding_is_aligned_and_never_short() {
        for block in [8, 16] {
            for length in 1..100 {
                let padding = padding(length, block);
                assert!((4..4 + block).contains(&padding));
                assert_eq!((length + padding) % block, 0);
            }
        }
    }

    #[test]
    fn bad_lengths_and_paddings_are_refused() {
        for length in [0, 5, 13, 0x4000_0004, u32::MAX] {
            let mut input = plain_packet(length, 4, 64);
            let refused = PacketReader::new().read(&mut input);
            let expected = Violation::PacketLength(length);
            assert!(matches!(refused, Err(Error::Violation(v)) if v == expected));
        }
        for padding in [0, 3, 11, 12, 255] {
            let mut input = plain_packet(12, padding, 11);
            let refused = PacketReader::new().read(&mut input);
            let expected = Violation::Padding(padding);
            assert!(matches!(refused, Err(Error::Violation(v)) if v == expected));
        }
        let mut input = plain_packet(12, 10, 11);
        let payload = PacketReader::new().read(&mut input).expect("valid");
        assert_eq!(payload.expect("whole").len(), 1);
    }

    #[test]
    fn oversized_payloads_are_not_sent() {
        let mut writer = PacketWriter::new();
        assert!(writer.write(&[5], &vec![0; MAX_PACKET]).is_err());
        assert!(writer.write(&[], &[]).is_err());
        writer.write(&[5], &vec![0; MAX_PAYLOAD - 1]).expect("fits");
        let mut input = writer.output().split();
        assert!(
            PacketReader::new()
                .read(&mut input)
                .expect("valid")
                .is_some()
        );
    }

    /// Under CBC any encrypted block can be made a packet's first. However the packet is refused, it
    /// is after the same number of bytes and with the same words.
    #[test]
    fn every_bad_packet_under_cbc_is_refused_alike() {
        let material = [7; 64];
        let keys = KeyMaterial {
            cipher: Cipher::Aes256Cbc,
            mac: Some(Mac::HmacSha1),
            iv: &material[..16],
            key: &material[..32],
            mac_key: &material[..20],
        };
        let refused_after = |forge: &dyn Fn(&mut BytesMut)| {
            let mut writer = PacketWriter::new();
            let sealer = Encryptor::new(&keys).expect("keys");
            writer.change_keys(sealer, CompressionState::Off, false);
            writer.write(&[5; 100], &[]).expect("fits");
            let mut sent = writer.output().split();
            forge(&mut sent);
            sent.resize(2 * MAX_PACKET, 9);
            let mut reader = PacketReader::new();
            let opener = Decryptor::new(&keys).expect("keys");
            reader.change_keys(opener, CompressionState::Off, false);
            let mut input = BytesMut::new();
            for (read, byte) in sent.iter().enumerate() {
                input.put_u8(*byte);
                match reader.read(&mut input) {
                    Ok(None) => assert!(reader.wanted() > input.len()),
                    Ok(Some(_)) => {}
                    Err(error) => return (read + 1, error.to_string()),
                }
            }
            panic!("never refused");
        };
        let last = LENGTH_LEN + MAX_PACKET + 20;
        let mac = Error::from(Violation::Mac).to_string();
        // Its length no longer makes sense; its padding does not; its end does not; its MAC does not.
        for flipped in [0, 3, 4, 40, 111, 112, 131] {
            let (after, text) = refused_after(&|sent| sent[flipped] ^= 0x80);
            assert_eq!((after, &text), (last, &mac), "byte {flipped}");
        }
        // A good packet and one that cannot be: the second counts from its own start.
        let (after, text) = refused_after(&|_| {});
        assert_eq!((after, &text), (last + 132, &mac));
    }

    #[test]
    fn a_key_is_not_used_for_more_packets_than_it_has_numbers() {
        let mut writer = PacketWriter::new();
        writer.usage.packets = MAX_PACKETS - 2;
        writer.write(&[5], &[]).expect("one before the last");
        writer.write(&[5], &[]).expect("the last");
        assert!(writer.write(&[5], &[]).is_err());
        let mut reader = PacketReader::new();
        reader.usage.packets = MAX_PACKETS - 2;
        let mut input = writer.output().split();
        assert!(reader.read(&mut input).is_ok());
        let refused = reader.read(&mut input);
        assert!(matches!(
            refused,
            Err(Error::Violation(Violation::KeyOveruse))
        ));
    }
}
