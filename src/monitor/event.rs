//! The events that the monitor's threads send to its event loop.

use std::fmt;

use rustix::process::{Pid, WaitStatus};

use crate::ipc::ProcessMessage;

/// Something that has happened.
#[derive(Debug)]
pub(super) enum MonitorEvent {
    /// A process has sent a message.
    Message(Pid, ProcessMessage),
    /// A process has exited.
    Exited(Pid, Exited),
    /// The program that is now installed was checked: whether it would run, or why not.
    Checked(Result<(), String>),
}

/// How a process has exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exited {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The operating system does not say: its exit status was collected elsewhere.
    Unknown,
}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "with exit code {code}"),
            Self::Signal(signal) => write!(f, "by signal {signal}"),
            Self::Unknown => f.write_str("in an unknown way"),
        }
    }
}

impl From<WaitStatus> for Exited {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (_, Some(signal)) => Self::Signal(signal),
            _ => Self::Unknown,
        }
    }
}
