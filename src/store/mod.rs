//! Recordings as files: created and locked, finished, found and listed, read whole or while they are
//! written.
//!
//! The content of the files belongs to [`crate::recording`]; this room has the directory, the names,
//! the locks and the disk.

mod error;
mod file;
mod finish;
pub mod listing;
mod lock;
mod opening;
mod sink;
mod tail;
mod threads;

pub use error::StoreError;
pub use file::{FILE_SUFFIX, file_name};
pub use finish::{Finished, OnFinished};
pub use opening::{follow, open, open_at};
pub use sink::{RecordingSink, Recordings};
pub use tail::Tail;
