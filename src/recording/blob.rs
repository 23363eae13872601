//! Blobs: bytes that are not text, in frames of their own (`FORMAT.md`, section 5).

use zstd::zstd_safe::DCtx;

use super::encoder::Encoder;
use super::error::RecordingError;
use super::event::Stream;
use super::frame::{self, BLOB_TAG};
use super::lines::BlobRef;

/// Most bytes in one blob, decompressed.
pub(super) const MAX_BLOB: usize = 1 << 20;
/// Most bytes of a blob's frame.
pub(super) const MAX_BLOB_FRAME: usize = MAX_BLOB + (64 << 10);
/// Most blobs before their lines.
pub(super) const MAX_WAITING: usize = 64;
/// Most bytes of frames of blobs before their lines.
pub(super) const MAX_WAITING_BYTES: usize = 8 << 20;

/// The only encoding there is: one zstd frame.
const ENCODING_ZSTD: u8 = 1;

fn stream_code(stream: Stream) -> u8 {
    match stream {
        Stream::Stdin => 0,
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

fn stream_of(code: u8) -> Option<Stream> {
    match code {
        0 => Some(Stream::Stdin),
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        _ => None,
    }
}

/// Appends a blob's frame. `bytes` are 1 to [`MAX_BLOB`].
pub(super) fn push(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    stream: Stream,
    number: u64,
    bytes: &[u8],
) -> Result<BlobRef, RecordingError> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let open = frame::begin(out, BLOB_TAG);
    out.extend_from_slice(&[stream_code(stream), ENCODING_ZSTD, 0, 0]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    encoder.whole_frame(out, bytes)?;
    frame::end(out, &open);
    Ok(BlobRef {
        stream,
        number,
        length,
    })
}

/// A blob as the file has it: still compressed.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) named: BlobRef,
    content: Vec<u8>,
}

impl Blob {
    /// Reads the body of a blob's frame, after the tag.
    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let ([stream, encoding, zero @ ..], rest) = body.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (length, content) = frame::take_u32(rest)?;
        let is_sound = *encoding == ENCODING_ZSTD
            && *zero == [0, 0]
            && (1..=MAX_BLOB).contains(&usize::try_from(length).ok()?);
        is_sound.then_some(())?;
        Some(Self {
            named: BlobRef {
                stream: stream_of(*stream)?,
                number: u64::from_le_bytes(*number),
                length,
            },
            content: content.to_vec(),
        })
    }

    /// Bytes that it holds in memory.
    pub(super) fn held(&self) -> usize {
        self.content.len()
    }

    /// The bytes. `None` when they are not what the head promises.
    pub(super) fn decode(&self, context: &mut DCtx<'static>) -> Option<Vec<u8>> {
        let length = usize::try_from(self.named.length).ok()?;
        frame::decompress(context, &self.content, length)
    }
}
