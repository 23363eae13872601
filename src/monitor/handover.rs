//! An upgrade: this process replaces itself with the program that is now installed, which continues
//! its work.
//!
//! The listeners and the sockets of the processes are sent to a socket whose other end is the standard
//! input of the next program; the lock of the data directory follows in a message of its own.
//! Everything else of this process ends with `exec`; the children remain children of this process
//! id.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::child::{ChildContext, ChildProcess, ChildRole};
use super::error::MonitorError;
use super::listeners::{Listener, ListenerRecord, Listeners};
use super::processes::{KINDS, WORKER};
use super::program::{HANDOVER_VARIABLE, Program};
use super::systemd;
use crate::ipc::{MAX_FILES, MessageSocket, OLDEST, VERSION, can_follow, decode, encode};
use crate::sys::fs::FileLock;
use crate::sys::log;

/// The content of the message with the lock.
const LOCK: &[u8] = b"lock";

/// The state that is handed over. The file descriptors of the listeners, then those of the processes,
/// are attached.
#[derive(Debug, Serialize, Deserialize)]
struct HandoverState {
    version: u32,
    program: PathBuf,
    listeners: Vec<ListenerRecord>,
    #[serde(rename = "workers")]
    processes: Vec<HandedProcess>,
}

/// A process in the state that is handed over.
#[derive(Debug, Serialize, Deserialize)]
struct HandedProcess {
    pid: i32,
    is_serving: bool,
    /// The protocol version that it speaks; a handover of version 1 does not contain it.
    #[serde(default = "oldest")]
    version: u32,
    /// The name of its kind; before version 3 there was only one.
    #[serde(default = "worker")]
    kind: String,
}

fn worker() -> String {
    WORKER.name.to_owned()
}

const fn oldest() -> u32 {
    OLDEST
}

/// The state of this process before the upgrade.
#[derive(Debug)]
pub(super) struct Handover {
    /// The lock of the data directory; the first programs of version 1 have none.
    pub(super) lock: Option<FileLock>,
    pub(super) program: Program,
    pub(super) listeners: Vec<Listener>,
    pub(super) processes: Vec<ChildProcess>,
}

impl Handover {
    /// The state that an earlier version of this process has handed over, if there was one.
    ///
    /// # Errors
    /// When the state is not of a version that can be followed.
    pub(super) fn receive() -> Result<Option<Self>, MonitorError> {
        if std::env::var_os(HANDOVER_VARIABLE).is_none() {
            return Ok(None);
        }
        let socket = MessageSocket::from_stdin().map_err(MonitorError::Handover)?;
        Self::receive_from(&socket).map(Some)
    }

    fn receive_from(socket: &MessageSocket) -> Result<Self, MonitorError> {
        let state = socket.receive().map_err(MonitorError::Handover)?;
        let message = state.ok_or_else(unusable)?;
        let lock = socket.receive().map_err(MonitorError::Handover)?;
        let lock = lock.and_then(|message| message.files.into_iter().next());
        let state: HandoverState =
            decode(&message.bytes).map_err(|error| MonitorError::Handover(error.into()))?;
        let mut files = message.files.into_iter();
        let handed = state.listeners.len() + state.processes.len();
        if !can_follow(state.version) || files.len() != handed {
            return Err(unusable());
        }
        let listeners = state.listeners.into_iter().zip(&mut files);
        let listeners = listeners.map(|(is, file)| Listener {
            is,
            socket: file.into(),
        });
        let listeners = listeners.collect();
        let processes = state.processes.into_iter().zip(files);
        let processes = processes.map(|(handed, file)| {
            let pid = Pid::from_raw(handed.pid).ok_or_else(unusable)?;
            let role = if handed.is_serving {
                ChildRole::Serving
            } else {
                ChildRole::Retired
            };
            let kind = KINDS.iter().find(|kind| kind.name == handed.kind);
            let kind = kind.ok_or_else(unusable)?;
            let socket = MessageSocket::from_fd(file).map_err(|_other| unusable())?;
            Ok(ChildProcess::new(kind, pid, socket, role, handed.version))
        });
        Ok(Self {
            lock: lock.map(FileLock::handed_over),
            program: Program::at(state.program),
            listeners,
            processes: processes.collect::<Result<_, MonitorError>>()?,
        })
    }

    /// The processes; their messages are received from now on.
    ///
    /// # Errors
    /// When no threads can be created.
    pub(super) fn listen(self, context: &ChildContext) -> Result<Vec<ChildProcess>, MonitorError> {
        let processes = self.processes.into_iter();
        processes
            .map(|process| process.listen(context).map_err(MonitorError::Start))
            .collect()
    }
}

fn unusable() -> MonitorError {
    MonitorError::Handover(io::ErrorKind::InvalidData.into())
}

/// Replaces this process with the program that is now installed. Returns only if that fails.
pub(super) fn exec<'w>(
    program: &Program,
    listeners: &Listeners,
    processes: impl Iterator<Item = &'w ChildProcess>,
    lock: &FileLock,
) -> io::Error {
    match try_exec(program, listeners, processes, lock) {
        Err(error) => error,
    }
}

fn try_exec<'w>(
    program: &Program,
    listeners: &Listeners,
    processes: impl Iterator<Item = &'w ChildProcess>,
    lock: &FileLock,
) -> io::Result<std::convert::Infallible> {
    // The file may have changed since it was checked.
    program.check_place().map_err(io::Error::other)?;
    let handed = hand_over(program, listeners, processes, lock)?;
    let mut next = program.newest();
    next.args(std::env::args_os().skip(1))
        .env(HANDOVER_VARIABLE, "1")
        .stdin(handed);
    // The sockets are handed over as all listeners are; their descriptor numbers change.
    for variable in systemd::SOCKETS {
        next.env_remove(variable);
    }
    // The thread that writes the log ends with this program.
    log::flush();
    Err(next.exec())
}

/// Sends everything to a socket; returns the end from which the next program receives it.
fn hand_over<'w>(
    program: &Program,
    listeners: &Listeners,
    processes: impl Iterator<Item = &'w ChildProcess>,
    lock: &FileLock,
) -> io::Result<MessageSocket> {
    let mut files = listeners.files();
    let mut handed = Vec::new();
    for process in processes {
        files.push(process.socket.as_fd());
        handed.push(HandedProcess {
            pid: process.pid.as_raw_nonzero().get(),
            is_serving: process.role != ChildRole::Retired,
            version: process.version,
            kind: process.kind.name.to_owned(),
        });
    }
    if files.len() > MAX_FILES {
        return Err(io::Error::other(
            "too many processes are left from upgrades",
        ));
    }
    let state = HandoverState {
        version: VERSION,
        program: program.path().to_owned(),
        listeners: listeners.records(),
        processes: handed,
    };
    let (ours, theirs) = MessageSocket::pair()?;
    ours.send(&encode(&state)?, &files)?;
    ours.send(LOCK, &[lock.as_fd()])?;
    Ok(theirs)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::BorrowedFd;

    use tokio::time::Instant;

    use super::*;
    use crate::ipc::{ListenerKind, MonitorMessage};
    use crate::monitor::listeners::ListenerRecord;
    use crate::monitor::processes::AUTH;
    use crate::sys::fs::until_unlocked;

    /// What a program of version 1 hands over, as it was recorded: one listener, a worker that
    /// serves, a worker from an upgrade before.
    const OF_VERSION_1: &str = r#"{"version":1,"program":"/usr/bin/rproxy","listeners":[{"port":"ssh","address":"127.0.0.1:3023"}],"workers":[{"pid":4711,"is_serving":true},{"pid":4712,"is_serving":false}]}"#;

    fn lock(directory: &tempfile::TempDir) -> FileLock {
        let lock = FileLock::attempt(&directory.path().join("lock")).unwrap();
        lock.unwrap()
    }

    /// Receives a state that comes with these files, and perhaps with a lock behind it.
    fn receive(
        state: &str,
        files: &[BorrowedFd<'_>],
        lock: Option<&FileLock>,
    ) -> Result<Handover, MonitorError> {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        ours.send(state.as_bytes(), files).unwrap();
        if let Some(lock) = lock {
            ours.send(LOCK, &[lock.as_fd()]).unwrap();
        }
        drop(ours);
        Handover::receive_from(&theirs)
    }

    #[test]
    fn what_version_1_hands_over_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(&directory);
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let (serving, retired) = (
            MessageSocket::pair().unwrap(),
            MessageSocket::pair().unwrap(),
        );
        let files = [port.as_fd(), serving.0.as_fd(), retired.0.as_fd()];
        for lock in [Some(&lock), None] {
            let taken = receive(OF_VERSION_1, &files, lock).unwrap();
            assert_eq!(taken.lock.is_some(), lock.is_some());
            assert_eq!(taken.program.path(), "/usr/bin/rproxy");
            let [listener] = &taken.listeners[..] else {
                panic!("{:?}", taken.listeners);
            };
            let expected = ListenerRecord {
                kind: ListenerKind::Ssh,
                address: Some("127.0.0.1:3023".parse().unwrap()),
            };
            assert_eq!(listener.is, expected);
            assert_eq!(
                listener.socket.local_addr().unwrap(),
                port.local_addr().unwrap()
            );
            let workers: Vec<_> = taken
                .processes
                .iter()
                .map(|one| (one.pid.as_raw_nonzero().get(), one.role, one.version))
                .collect();
            assert_eq!(
                workers,
                [(4711, ChildRole::Serving, 1), (4712, ChildRole::Retired, 1)]
            );
            // The sockets are those of these workers.
            taken.processes[1].send(&MonitorMessage::Ping);
            assert_eq!(retired.1.receive().unwrap().unwrap().bytes, br#""ping""#);
        }
    }

    #[test]
    fn what_cannot_be_followed_or_is_cut_is_refused() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = MessageSocket::pair().unwrap();
        let files = [port.as_fd(), one.as_fd(), other.as_fd()];
        let later = format!("\"version\":{}", VERSION + 1);
        for (state, files) in [
            (
                OF_VERSION_1.replace("\"version\":1", "\"version\":0"),
                &files[..],
            ),
            (OF_VERSION_1.replace("\"version\":1", &later), &files[..]),
            (OF_VERSION_1.replace("4712", "0"), &files[..]),
            (
                OF_VERSION_1.replace("\"pid\":4712", "\"kind\":\"other\",\"pid\":4712"),
                &files[..],
            ),
            (OF_VERSION_1.to_owned(), &files[..2]),
            ("{}".to_owned(), &files[..]),
        ] {
            let refused = receive(&state, files, None);
            assert!(matches!(refused, Err(MonitorError::Handover(_))), "{state}");
        }
    }

    #[tokio::test]
    async fn everything_that_is_handed_over_arrives() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(&directory);
        let config = "proxy_service: { listen_addr: \"127.0.0.1:0\" }\n";
        let data = Some(directory.path());
        let config = crate::config::parse("f".as_ref(), config, data).unwrap();
        let listeners = Listeners::open(&config.config, Vec::new()).await.unwrap();
        let roles = [
            (1, ChildRole::Retired, 1),
            (2, ChildRole::Serving, VERSION),
            (3, ChildRole::Starting(Instant::now()), VERSION),
        ];
        let mut ends = Vec::new();
        let workers = roles.map(|(pid, role, version)| {
            let (near, far) = MessageSocket::pair().unwrap();
            ends.push(far);
            let kind = if pid == 3 { &AUTH } else { &WORKER };
            let pid = Pid::from_raw(pid).unwrap();
            ChildProcess::new(kind, pid, near, role, version)
        });
        let program = Program::at(PathBuf::from("/usr/bin/rproxy"));
        let handed = hand_over(&program, &listeners, workers.iter(), &lock).unwrap();
        let taken = Handover::receive_from(&handed).unwrap();
        assert_eq!(taken.program.path(), program.path());
        let records: Vec<_> = taken.listeners.iter().map(|one| one.is).collect();
        assert_eq!(records, listeners.records());
        // The lock was never free.
        drop((lock, workers));
        assert!(
            FileLock::attempt(&directory.path().join("lock"))
                .unwrap()
                .is_none()
        );
        drop(taken.lock);
        until_unlocked(&directory.path().join("lock"));
        assert!(
            FileLock::attempt(&directory.path().join("lock"))
                .unwrap()
                .is_some()
        );
        let after: Vec<_> = taken
            .processes
            .iter()
            .map(|one| (one.pid.as_raw_nonzero().get(), one.role, one.version))
            .collect();
        // One that was about to serve is taken for one that does.
        assert_eq!(
            after,
            [
                (1, ChildRole::Retired, 1),
                (2, ChildRole::Serving, VERSION),
                (3, ChildRole::Serving, VERSION),
            ]
        );
        let auths: Vec<_> = taken.processes.iter().map(ChildProcess::is_auth).collect();
        assert_eq!(auths, [false, false, true]);
        for (worker, end) in taken.processes.iter().zip(&ends) {
            worker.send(&MonitorMessage::Ping);
            assert_eq!(end.receive().unwrap().unwrap().bytes, br#""ping""#);
        }
    }
}
