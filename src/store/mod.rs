//! Recordings as files: created and locked, finished, found and listed, read whole or while they grow.
//!
//! What is in a file is the business of [`crate::recording`]; here stand the directory, the names, the
//! locks and the disk.

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
pub use opening::{follow, open};
pub use sink::{RecordingSink, Recordings};
pub use tail::Tail;
