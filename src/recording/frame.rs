//! Skippable frames with our magic and a tag (`FORMAT.md`, section 4), and what is compressed in them.

use zstd::zstd_safe::{self, DCtx, DParameter, ResetDirective};

/// Magic of a zstd frame (RFC 8878, 3.1.1).
pub(super) const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// Magic of our skippable frames.
pub(super) const OUR_MAGIC: u32 = 0x184D_2A57;
/// Magic and length.
pub(super) const HEAD_LEN: usize = 8;
/// Length of a tag.
pub(super) const TAG_LEN: usize = 4;
/// A blob.
pub(super) const BLOB_TAG: [u8; TAG_LEN] = *b"rpxb";
/// A key frame.
pub(super) const KEY_TAG: [u8; TAG_LEN] = *b"rpxk";
/// The time index.
pub(super) const INDEX_TAG: [u8; TAG_LEN] = *b"rpxi";
/// The footer.
pub(super) const FOOTER_TAG: [u8; TAG_LEN] = *b"rpxz";

/// Windows of what is in our frames never exceed the largest content, of 1 MiB.
const WINDOW_LOG_MAX: u32 = 20;

/// Whether a magic number is that of a skippable frame, ours or another's (RFC 8878, 3.1.2).
pub(super) fn is_skippable(magic: u32) -> bool {
    magic & 0xFFFF_FFF0 == 0x184D_2A50
}

/// Starts a frame of ours at the end of `out`; [`end`] completes it.
pub(super) fn begin(out: &mut Vec<u8>, tag: [u8; TAG_LEN]) -> Open {
    let start = out.len();
    out.extend_from_slice(&OUR_MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&tag);
    Open { start }
}

/// A frame whose length is not known yet.
#[must_use]
pub(super) struct Open {
    start: usize,
}

/// Writes the length of a frame that ends where `out` ends.
pub(super) fn end(out: &mut [u8], open: &Open) {
    let body = open.start + HEAD_LEN;
    let length = u32::try_from(out.len() - body).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(open.start + 4..body) {
        field.copy_from_slice(&length.to_le_bytes());
    }
}

/// Takes a little-endian number off the front.
pub(super) fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Takes a little-endian number off the front.
pub(super) fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// Decompresses what has to be one zstd frame of so many bytes. `None` when it is something else, or has
/// something behind it: that would be bytes that nothing accounts for.
pub(super) fn decompress(
    context: &mut DCtx<'static>,
    content: &[u8],
    length: usize,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    context
        .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
        .ok()?;
    let frame_len = zstd_safe::find_frame_compressed_size(content).ok()?;
    (frame_len == content.len()).then_some(())?;
    let decoded = context.decompress(&mut bytes, content).ok()?;
    (decoded == length).then_some(bytes)
}
