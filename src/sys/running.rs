//! Other processes: which process started them, and a safe way to signal exactly one.

use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that runs, told apart from a later one with the same number by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningProcess {
    pid: u32,
    /// Clock ticks since the machine's start, proc(5) `starttime`.
    started: u64,
    parent: u32,
}

impl RunningProcess {
    /// The process with this number. `None` when there is none, or when it has exited and only waits
    /// for its parent to notice.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        // proc(5): the name stands in parentheses and may hold any character.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let state = *fields.first()?;
        let parent = fields.get(1)?.parse().ok()?;
        let started = fields.get(19)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self {
            pid,
            started,
            parent,
        })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process that started it.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        Self::find(self.parent)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Sends it a signal, and never to another process that has got its number.
    ///
    /// # Errors
    /// `NotFound` when it has exited, `PermissionDenied` when it is another account's.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(pid.ok_or_else(gone)?, PidfdFlags::empty());
        let process = process.map_err(|errno| match errno {
            rustix::io::Errno::SRCH => gone(),
            errno => errno.into(),
        })?;
        // The descriptor holds whichever process has the number now.
        if !self.is_alive() {
            return Err(gone());
        }
        Ok(pidfd_send_signal(&process, signal)?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_signalled_and_gone() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let found = RunningProcess::find(child.id()).unwrap();
        assert_eq!(found.pid(), child.id());
        assert_eq!(found.parent().unwrap().pid(), std::process::id());
        assert!(found.is_alive());
        let another = RunningProcess {
            started: found.started + 1,
            ..found
        };
        assert!(!another.is_alive());
        assert_eq!(
            another.signal(Signal::TERM).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        found.signal(Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success());
        assert!(!found.is_alive());
        assert!(found.signal(Signal::TERM).is_err());
    }
}
