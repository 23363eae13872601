//! Compression: one zstd context for the data frames and the blobs of a recording, freed while the
//! session is idle.

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::error::RecordingError;

/// Terminal text: a small window keeps an open session small.
const DATA_LEVEL: i32 = 3;
const DATA_WINDOW_LOG: u32 = 17;
/// Bulk data: the fastest level; the relay waits for it.
const BLOB_LEVEL: i32 = 1;
const BLOB_WINDOW_LOG: u32 = 20;
/// A data frame is ended after this many bytes of lines.
const MAX_FRAME_LINES: usize = 256 << 10;
/// Room for what zstd adds to incompressible data, and for a frame's header and end.
const SLACK: usize = 512;

/// Writes data frames and whole frames into buffers.
#[derive(Default)]
pub(super) struct Encoder {
    context: Option<CCtx<'static>>,
    /// Lines in the open data frame; `None` when no frame is open.
    open: Option<usize>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// What follows a commit's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// More lines, likely: the data frame stays open, flushed.
    Lines,
    /// Blobs, likely, or nothing: the data frame is ended.
    Blobs,
}

impl Encoder {
    /// Appends lines, readable as they stand in `out`.
    pub(super) fn lines(
        &mut self,
        out: &mut Vec<u8>,
        lines: &[u8],
        after: After,
    ) -> Result<(), RecordingError> {
        let in_frame = match self.open {
            Some(before) => before + lines.len(),
            None => {
                self.begin(DATA_LEVEL, DATA_WINDOW_LOG)?;
                lines.len()
            }
        };
        let stays_open = after == After::Lines && in_frame < MAX_FRAME_LINES;
        let directive = if stays_open {
            ZSTD_EndDirective::ZSTD_e_flush
        } else {
            ZSTD_EndDirective::ZSTD_e_end
        };
        self.run(out, lines, directive)?;
        self.open = stays_open.then_some(in_frame);
        Ok(())
    }

    /// Ends the open data frame, if there is one.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), RecordingError> {
        if self.open.take().is_some() {
            self.run(out, &[], ZSTD_EndDirective::ZSTD_e_end)?;
        }
        Ok(())
    }

    /// Appends a frame that holds exactly `bytes`. No data frame may be open.
    pub(super) fn whole_frame(
        &mut self,
        out: &mut Vec<u8>,
        bytes: &[u8],
    ) -> Result<(), RecordingError> {
        self.begin(BLOB_LEVEL, BLOB_WINDOW_LOG)?;
        self.run(out, bytes, ZSTD_EndDirective::ZSTD_e_end)
    }

    /// Gives the context's memory back. No data frame may be open.
    pub(super) fn release(&mut self) {
        self.context = None;
    }

    /// Bytes of memory that the context holds.
    pub(super) fn held(&self) -> usize {
        self.context.as_ref().map_or(0, CCtx::sizeof)
    }

    fn begin(&mut self, level: i32, window_log: u32) -> Result<(), RecordingError> {
        let context = self.context()?;
        context
            .reset(ResetDirective::SessionOnly)
            .map_err(failure)?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::WindowLog(window_log),
            CParameter::ChecksumFlag(true),
        ] {
            context.set_parameter(parameter).map_err(failure)?;
        }
        Ok(())
    }

    fn run(
        &mut self,
        out: &mut Vec<u8>,
        bytes: &[u8],
        directive: ZSTD_EndDirective,
    ) -> Result<(), RecordingError> {
        let context = self.context()?;
        let mut input = InBuffer::around(bytes);
        loop {
            let left = bytes.len() - input.pos();
            out.reserve(zstd_safe::compress_bound(left) + SLACK);
            let written = out.len();
            let mut output = OutBuffer::around_pos(out, written);
            let more = context
                .compress_stream2(&mut output, &mut input, directive)
                .map_err(failure)?;
            if more == 0 {
                return Ok(());
            }
        }
    }

    fn context(&mut self) -> Result<&mut CCtx<'static>, RecordingError> {
        if self.context.is_none() {
            self.context = CCtx::try_create();
        }
        self.context
            .as_mut()
            .ok_or(RecordingError::Compress("out of memory"))
    }
}

fn failure(code: zstd_safe::ErrorCode) -> RecordingError {
    RecordingError::Compress(zstd_safe::get_error_name(code))
}
