//! Recordings: the file format (`FORMAT.md`), its writer, its reader, and exports.
//!
//! A recording decompresses to an asciicast v3 stream with stock `zstd`; bytes that are not text
//! are in frames that `zstd` skips. The writer never reports an event as stored before the
//! operating system has it; the reader does not fail on a file that was only cut off.

mod batch;
mod blob;
mod encoder;
mod error;
mod event;
pub mod export;
mod footer;
mod frame;
mod frames;
mod header;
mod index;
mod key_frame;
mod lazy;
mod lines;
mod live;
mod model;
mod participant;
mod plain;
mod queue;
mod reader;
pub mod sanitizer;
mod screen;
mod seek;
mod text;
mod utf8;
mod verbatim;
mod walk;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::RecordingError;
pub use event::{ChannelNote, Event, EventKind, ExitNote, ExitSignal, GapNote, Side, Stream};
pub use footer::{ByteTotals, Footer};
pub use header::{Header, Pty};
pub use index::{Activity, Index};
pub use lazy::ScreenSnapshot;
pub use live::{Live, Options, Summary};
pub use participant::{ParticipantInput, Typed};
pub use reader::{Reader, State};
pub use screen::Screen;
pub use seek::Sought;
pub use verbatim::Verbatim;

/// The version of `FORMAT.md` that this code writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
