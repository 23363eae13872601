//! The control sockets: administrators list live sessions, watch them and end them.
//!
//! Each process of the proxy has a Unix socket of its own below the data directory, because older
//! processes still have sessions after an upgrade: [`processes`] finds them, [`Process::ask`] sends a
//! request to one. [`Server`] is the other side. It cannot disturb the SSH side: a thread of its own,
//! few clients, one request on each connection, a size and a time limit for everything. It answers
//! only root and its own account, and carries no data of a session: a session is watched by reading
//! its recording.

mod account;
mod client;
mod context;
mod protocol;
mod server;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::text;
use crate::sys::fs::FsError;

pub use client::{ClientError, ControlReply, Process, processes};
pub use protocol::{ControlRefusal, ControlRequest, RecordingHealth, SessionRow, What};
pub use server::{ControlHandle, Server};

/// What a socket's name ends with; before it stands the process.
const SUFFIX: &str = ".sock";

/// The process that a socket belongs to, by its name.
fn process_of(socket: &Path) -> Option<u32> {
    let name = socket.file_name()?.to_str()?;
    let number: u32 = name.strip_suffix(SUFFIX)?.parse().ok()?;
    // Only the name that we give: no sign, no zeros in front.
    (number > 0 && name == format!("{number}{SUFFIX}")).then_some(number)
}

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The directory cannot be made, or is open to others.
    #[error("cannot use the directory of the control sockets")]
    Directory(#[from] FsError),
    /// The socket cannot be made.
    #[error("cannot listen on {}", text::path(.0))]
    Listen(PathBuf, #[source] io::Error),
    /// The operating system refuses a thread or a runtime.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_sockets() {
        let process = |name: &str| process_of(&Path::new("/x").join(name));
        assert_eq!(process("17.sock"), Some(17));
        for name in [
            "0.sock",
            "+1.sock",
            "01.sock",
            ".sock",
            "1.sock.tmp",
            "x.sock",
            "-1.sock",
        ] {
            assert_eq!(process(name), None, "{name}");
        }
    }
}
