//! The socket to the monitor, and the message that starts this process.
//!
//! If the monitor has exited for any reason, no process can call any more, and this one exits.

use std::os::fd::OwnedFd;

use super::error::AuthProcessError;
use crate::ipc::{MonitorMessage, VERSION};
use crate::monitor::{AUTH, MonitorLink};

/// Takes the socket from standard input, and receives the first message: it says how often an auth
/// process was started again.
///
/// # Errors
/// When this process was not started by a monitor of the same version.
pub(super) fn begin() -> Result<(MonitorLink, u64), AuthProcessError> {
    MonitorLink::begin(&AUTH, first).map_err(AuthProcessError::NoMonitor)
}

fn first(message: MonitorMessage, _files: Vec<OwnedFd>) -> Option<u64> {
    match message {
        MonitorMessage::StartAuth {
            version: VERSION,
            restarts,
        } => Some(restarts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{MessageSocket, ProcessMessage, encode};

    #[test]
    fn only_a_monitor_of_this_version_starts_it() {
        let start = |version| MonitorMessage::StartAuth {
            version,
            restarts: 7,
        };
        for (message, is_good) in [
            (start(VERSION), true),
            (start(VERSION + 1), false),
            (start(VERSION - 1), false),
            (MonitorMessage::Ping, false),
        ] {
            let (monitor, auth) = MessageSocket::pair().unwrap();
            monitor.send(&encode(&message).unwrap(), &[]).unwrap();
            let begun = MonitorLink::begin_on(auth, &AUTH, first);
            assert_eq!(begun.is_ok(), is_good, "{message:?}");
            if let Ok((link, restarts)) = begun {
                assert_eq!(restarts, 7);
                link.report(&ProcessMessage::Ready).unwrap();
                assert_eq!(monitor.receive().unwrap().unwrap().bytes, br#""ready""#);
                drop(monitor);
                assert!(link.receive().is_none());
                link.report(&ProcessMessage::Ready).unwrap_err();
            }
        }
        let (monitor, auth) = MessageSocket::pair().unwrap();
        drop(monitor);
        MonitorLink::begin_on(auth, &AUTH, first).unwrap_err();
    }
}
