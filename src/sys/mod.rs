//! The only doors to the clock and to the disk.
//!
//! Time is a parameter everywhere else, so that tests can stop it; files are made here, so that
//! none is ever created with wider permissions than it should have.

pub mod clock;
pub mod fs;
pub mod process;
pub mod tty;
pub mod watch;
