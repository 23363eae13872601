//! Recordings as files: created and locked, found and listed, read whole or while they grow.
//!
//! What is in a file is the business of [`crate::recording`]; here stand the directory, the names, the
//! locks and the disk.

mod error;
mod file;
pub mod listing;
mod lock;
mod opening;
mod tail;

pub use error::StoreError;
pub use file::{FILE_SUFFIX, create, file_name};
pub use opening::{follow, open};
pub use tail::Tail;
