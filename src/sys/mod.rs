//! The only access to the clock and to the disk, and the sandbox.
//!
//! All other code gets the time as a parameter, so that tests can control it. Files are created
//! here, so that none has wider permissions than intended, even for a moment.

pub mod account;
pub mod clock;
pub mod directory;
pub mod feasible;
pub mod files;
pub mod fs;
pub mod log;
pub mod names;
pub mod process;
pub mod running;
pub mod sandbox;
#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
pub(crate) mod skipped;
pub mod tty;
pub mod watch;
