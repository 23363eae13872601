//! Key frames: where a reader may begin, and what the terminal showed there (`FORMAT.md`, section 8).

use zstd::zstd_safe::DCtx;

use super::encoder::Encoder;
use super::error::RecordingError;
use super::footer::ByteTotals;
use super::frame::{self, KEY_TAG};
use super::lazy::ScreenSnapshot;

/// Most bytes of a screen, decompressed.
pub(super) const MAX_SCREEN: usize = 1 << 20;
/// Most bytes of a key frame.
pub(super) const MAX_KEY_FRAME: usize = MAX_SCREEN + (64 << 10);
/// What every key frame begins with, after its tag.
pub(super) const FIXED_LEN: usize = 72;

/// What a recording holds up to some place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// When its last event was, in milliseconds since the start.
    pub(super) at_ms: u64,
    /// Events.
    pub(super) events: u64,
    /// Blobs.
    pub(super) blobs: u64,
    /// Bytes.
    pub(super) bytes: ByteTotals,
}

/// Appends a key frame. No data frame may be open.
pub(super) fn push(
    out: &mut Vec<u8>,
    encoder: &mut Encoder,
    totals: &Totals,
    screen: Option<&ScreenSnapshot>,
) -> Result<(), RecordingError> {
    let open = frame::begin(out, KEY_TAG);
    let ByteTotals {
        stdin,
        stdout,
        stderr,
        withheld,
        lost,
    } = totals.bytes;
    for number in [
        totals.at_ms,
        totals.events,
        totals.blobs,
        stdin,
        stdout,
        stderr,
        withheld,
        lost,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let (cols, rows, bytes) = screen.map_or((0, 0, &[][..]), |screen| {
        (screen.cols, screen.rows, screen.bytes.as_slice())
    });
    out.extend_from_slice(&cols.to_le_bytes());
    out.extend_from_slice(&rows.to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    if !bytes.is_empty() {
        encoder.whole_frame(out, bytes)?;
    }
    frame::end(out, &open);
    Ok(())
}

/// A key frame as the file has it: its screen is still compressed.
#[derive(Debug)]
pub(super) struct KeyFrame {
    pub(super) totals: Totals,
    size: (u16, u16),
    raw: usize,
    content: Vec<u8>,
}

impl KeyFrame {
    /// Reads the body of a key frame, after the tag.
    pub(super) fn from_body(body: &[u8]) -> Option<Self> {
        let (totals, rest) = totals(body)?;
        let ([cols_low, cols_high, rows_low, rows_high], rest) = rest.split_first_chunk::<4>()?;
        let size = (
            u16::from_le_bytes([*cols_low, *cols_high]),
            u16::from_le_bytes([*rows_low, *rows_high]),
        );
        let (raw, content) = frame::take_u32(rest)?;
        let raw = usize::try_from(raw).ok()?;
        let is_sound = raw <= MAX_SCREEN
            && (size.0 == 0) == (size.1 == 0)
            && (raw > 0) != content.is_empty()
            && (raw == 0 || size.0 > 0);
        is_sound.then(|| Self {
            totals,
            size,
            raw,
            content: content.to_vec(),
        })
    }

    /// What the terminal shows. `Ok(None)` without a terminal.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn screen(
        &self,
        context: &mut DCtx<'static>,
    ) -> Result<Option<ScreenSnapshot>, &'static str> {
        if self.size.0 == 0 {
            return Ok(None);
        }
        let bytes = self
            .decode(context)
            .ok_or("the screen of a key frame does not decompress")?;
        Ok(Some(ScreenSnapshot {
            cols: self.size.0,
            rows: self.size.1,
            bytes,
        }))
    }

    fn decode(&self, context: &mut DCtx<'static>) -> Option<Vec<u8>> {
        if self.raw == 0 {
            return Some(Vec::new());
        }
        frame::decompress(context, &self.content, self.raw)
    }
}

/// The totals at the beginning of a body, and what follows.
pub(super) fn totals(body: &[u8]) -> Option<(Totals, &[u8])> {
    let (at_ms, rest) = frame::take_u64(body)?;
    let (events, rest) = frame::take_u64(rest)?;
    let (blobs, rest) = frame::take_u64(rest)?;
    let (stdin, rest) = frame::take_u64(rest)?;
    let (stdout, rest) = frame::take_u64(rest)?;
    let (stderr, rest) = frame::take_u64(rest)?;
    let (withheld, rest) = frame::take_u64(rest)?;
    let (lost, rest) = frame::take_u64(rest)?;
    let bytes = ByteTotals {
        stdin,
        stdout,
        stderr,
        withheld,
        lost,
    };
    let totals = Totals {
        at_ms,
        events,
        blobs,
        bytes,
    };
    Some((totals, rest))
}
