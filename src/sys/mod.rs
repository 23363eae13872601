//! The only doors to the clock and to the disk, and the door that closes behind a process.
//!
//! Time is a parameter everywhere else, so that tests can stop it; files are made here, so that
//! none is ever created with wider permissions than it should have.

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
#[expect(dead_code, reason = "the tests in `tests` need more of it")]
pub(crate) mod skipped;
pub mod tty;
pub mod watch;
