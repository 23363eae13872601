//! `zlib@openssh.com`: payloads compressed in one stream per direction and key exchange (RFC 4253
//! section 6.2), from the moment on when user authentication has succeeded (PROTOCOL 1.2).
//!
//! Never lets a payload grow beyond what could have been sent without compression.

use std::fmt;

use bytes::BytesMut;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::algorithm::Compression;
use super::error::{Error, Violation};
use super::message::MAX_PACKET;

/// zlib's own default, as in OpenSSH.
const LEVEL: u32 = 6;

/// Least room for output.
const ROOM: usize = 4096;

/// Whether a direction is compressed. `S` is the stream's state.
pub(super) enum CompressionState<S> {
    /// Not agreed upon.
    Off,
    /// Agreed upon, for after user authentication.
    Delayed,
    /// In use.
    On(Box<S>),
}

impl<S: Default> CompressionState<S> {
    /// For new keys.
    pub(super) fn new(compression: Compression, authenticated: bool) -> Self {
        match compression {
            Compression::None => Self::Off,
            Compression::ZlibOpenssh if authenticated => Self::On(Box::default()),
            Compression::ZlibOpenssh => Self::Delayed,
        }
    }

    /// User authentication has succeeded.
    pub(super) fn authenticated(&mut self) {
        if matches!(self, Self::Delayed) {
            *self = Self::On(Box::default());
        }
    }
}

impl<S> fmt::Debug for CompressionState<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Delayed => "Delayed",
            Self::On(_) => "On",
        })
    }
}

/// Compresses what we send.
pub(super) struct Deflater {
    stream: Compress,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self {
            stream: Compress::new(flate2::Compression::new(LEVEL), true),
            out: Vec::new(),
        }
    }
}

impl Deflater {
    /// The payload `head || body`, compressed and flushed.
    pub(super) fn deflate(&mut self, head: &[u8], body: &[u8]) -> Result<&[u8], Error> {
        self.out.clear();
        self.feed(head, FlushCompress::None)?;
        self.feed(body, FlushCompress::Partial)?;
        Ok(&self.out)
    }

    fn feed(&mut self, mut input: &[u8], flush: FlushCompress) -> Result<(), Error> {
        loop {
            self.out.reserve(input.len() / 2 + ROOM);
            let before = self.stream.total_in();
            self.stream
                .compress_vec(input, &mut self.out, flush)
                .map_err(|_failed| Error::Crypto("compression"))?;
            input = rest(input, self.stream.total_in() - before);
            // Room left over says that the library has nothing more to write.
            if input.is_empty() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
        }
    }
}

/// Decompresses what we receive.
pub(super) struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// The payload behind a compressed one.
    pub(super) fn inflate(&mut self, mut input: &[u8]) -> Result<BytesMut, Error> {
        let mut out = BytesMut::zeroed((input.len() * 4).clamp(ROOM, MAX_PACKET));
        let mut filled = 0;
        loop {
            let room = out.get_mut(filled..).unwrap_or_default();
            let full = room.is_empty();
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let status = self
                .0
                .decompress(input, room, FlushDecompress::Sync)
                .map_err(|_malformed| Violation::Compression("malformed data"))?;
            if status == Status::StreamEnd {
                return Err(Violation::Compression("the stream ends").into());
            }
            let (read, written) = (self.0.total_in() - read, self.0.total_out() - written);
            input = rest(input, read);
            filled += usize::try_from(written).unwrap_or(usize::MAX);
            if read + written > 0 {
                continue;
            }
            // No progress: either there is no room, or there is nothing left.
            if !full {
                break;
            }
            if out.len() >= MAX_PACKET {
                return Err(Violation::Compression("longer than a packet").into());
            }
            out.resize((out.len() * 2).min(MAX_PACKET), 0);
        }
        if filled == 0 || !input.is_empty() {
            return Err(Violation::Compression("no payload").into());
        }
        out.truncate(filled);
        Ok(out)
    }
}

/// What follows the first `taken` bytes.
fn rest(input: &[u8], taken: u64) -> &[u8] {
    usize::try_from(taken)
        .ok()
        .and_then(|taken| input.get(taken..))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(length)
        .collect()
    }

    #[test]
    fn payloads_come_back_one_by_one() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let largest = MAX_PACKET - 256;
        for body in [
            Vec::new(),
            vec![0; 1],
            vec![7; largest],
            noise(largest),
            noise(3),
            vec![9; 40_000],
        ] {
            let compressed = deflater.deflate(&[94], &body).expect("compresses").to_vec();
            assert!(compressed.len() <= MAX_PACKET - 32, "{}", compressed.len());
            let payload = inflater.inflate(&compressed).expect("valid");
            assert_eq!(payload[0], 94);
            assert_eq!(payload[1..], body);
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let bomb = vec![0; 64 << 20];
        let mut deflater = Deflater::default();
        let bomb = deflater.deflate(&[94], &bomb).expect("compresses");
        assert!(bomb.len() < MAX_PACKET);
        let refused = Inflater::default().inflate(bomb);
        let expected = Violation::Compression("longer than a packet");
        assert!(matches!(refused, Err(Error::Violation(v)) if v == expected));
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in [&b"nonsense"[..], &[], &[0x78], &[0x78, 0x9c, 0xff, 0xff]] {
            assert!(Inflater::default().inflate(nonsense).is_err());
        }
        let mut deflater = Deflater::default();
        deflater.feed(b"x", FlushCompress::Finish).expect("ends");
        assert!(Inflater::default().inflate(&deflater.out).is_err());
    }
}
