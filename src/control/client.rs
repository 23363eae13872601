//! The side of a command: finds the processes of the proxy, and sends requests to them.
//!
//! A process that is stopped or hangs only delays the command by a few seconds.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

use super::process_of;
use super::protocol::{
    ControlRefusal, ControlRequest, ControlResponse, MAX_LINE, SessionRow, line,
};

use crate::model::text;

/// How long a process may take to accept.
const ACCEPTING: Duration = Duration::from_secs(2);
/// How long a process may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two tries of a socket whose queue is full.
const PAUSE: Duration = Duration::from_millis(20);
/// Most lines of an answer.
const MAX_LINES: usize = 1_000_000;

/// Why a process has not answered.
#[derive(Debug, Error)]
pub enum ClientError {
    /// We may not look there.
    #[error("permission denied: {}", text::path(.0))]
    Denied(PathBuf),
    /// The process is gone and has left its socket.
    #[error("process {0} is gone")]
    Gone(u32),
    /// It is there, and says nothing.
    #[error("process {0} does not answer")]
    Silent(u32),
    /// The process uses another protocol.
    #[error("process {0} gives an answer that this version does not understand")]
    Garbled(u32),
    /// The operating system's word.
    #[error("cannot use {}", text::path(.0))]
    Io(PathBuf, #[source] io::Error),
}

/// A process of the proxy, by its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    socket: PathBuf,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlReply {
    /// Done; what was asked for, where that was something.
    Done(Vec<SessionRow>),
    /// The command to end was passed on; it has not ended yet.
    Pending,
    /// It is not done.
    Refused(ControlRefusal),
}

/// The processes that have a socket in this directory, oldest number first. Some may be gone.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn processes(directory: &Path) -> Result<Vec<Process>, ClientError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => ClientError::Denied(directory.to_owned()),
        _ => ClientError::Io(directory.to_owned(), error),
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut processes = Vec::new();
    for entry in entries {
        let socket = entry.map_err(failed)?.path();
        if let Some(pid) = process_of(&socket) {
            processes.push(Process { pid, socket });
        }
    }
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

impl Process {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it, and reads its answer to the end.
    ///
    /// # Errors
    /// When it cannot be reached, is silent, or gives an answer that is none.
    pub fn ask(&self, ask: &ControlRequest) -> Result<ControlReply, ClientError> {
        let mut stream = self.connect()?;
        let set = stream
            .set_read_timeout(Some(SILENCE))
            .and_then(|()| stream.set_write_timeout(Some(SILENCE)));
        set.map_err(|error| self.failed(error))?;
        match stream.write_all(&line(ask)) {
            // It may have answered before it has read all, and closed.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) => {}
            written => written.map_err(|error| self.failed(error))?,
        }
        self.read(BufReader::new(stream))
    }

    fn read(&self, mut stream: impl BufRead) -> Result<ControlReply, ClientError> {
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let mut rows = Vec::new();
        for _ in 0..MAX_LINES {
            let mut line = Vec::new();
            let mut limited = (&mut stream).take(limit);
            let read = limited.read_until(b'\n', &mut line);
            read.map_err(|error| self.failed(error))?;
            if !line.ends_with(b"\n") {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(ControlResponse::Row(row)) => rows.push(*row),
                Ok(ControlResponse::Done {}) => return Ok(ControlReply::Done(rows)),
                Ok(ControlResponse::Pending {}) => return Ok(ControlReply::Pending),
                Ok(ControlResponse::Refused(refused)) => return Ok(ControlReply::Refused(refused)),
                Err(_not_ours) => break,
            }
        }
        Err(ClientError::Garbled(self.pid))
    }

    /// A blocking connect would wait for as long as the queue of a stopped process is full.
    fn connect(&self) -> Result<UnixStream, ClientError> {
        let address = SocketAddrUnix::new(&self.socket).map_err(|errno| self.refused(errno))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|errno| self.refused(errno))?;
        let until = Instant::now() + ACCEPTING;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) => break,
                Err(Errno::AGAIN) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(errno) => return Err(self.refused(errno)),
            }
        }
        let stream = UnixStream::from(socket);
        let blocking = stream.set_nonblocking(false);
        blocking.map_err(|error| self.failed(error))?;
        Ok(stream)
    }

    fn refused(&self, errno: Errno) -> ClientError {
        match errno {
            Errno::CONNREFUSED | Errno::NOENT => ClientError::Gone(self.pid),
            Errno::AGAIN => ClientError::Silent(self.pid),
            Errno::ACCESS | Errno::PERM => ClientError::Denied(self.socket.clone()),
            _ => self.failed(errno.into()),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent(self.pid),
            io::ErrorKind::ConnectionReset => ClientError::Garbled(self.pid),
            _ => ClientError::Io(self.socket.clone(), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8]) -> Result<ControlReply, ClientError> {
        let process = Process {
            pid: 7,
            socket: PathBuf::from("/x/7.sock"),
        };
        process.read(answer)
    }

    #[test]
    fn an_answer_has_an_end() {
        assert!(
            matches!(read(b"{\"done\":{}}\n"), Ok(ControlReply::Done(rows)) if rows.is_empty())
        );
        assert!(matches!(
            read(b"{\"pending\":{}}\nmore"),
            Ok(ControlReply::Pending)
        ));
        assert!(matches!(
            read(b"{\"refused\":\"not-live\"}\n"),
            Ok(ControlReply::Refused(ControlRefusal::NotLive))
        ));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let long = vec![b' '; 2 * MAX_LINE];
        for answer in [
            b"".as_slice(),
            b"{\"done\":{}}",
            b"\n",
            b"{\"row\":{}}\n",
            b"{\"refused\":\"who knows\"}\n{\"done\":{}}\n",
            b"\xff\xfe\n",
            &long,
        ] {
            let error = read(answer).expect_err("none");
            assert!(matches!(error, ClientError::Garbled(7)), "{error}");
        }
    }
}
