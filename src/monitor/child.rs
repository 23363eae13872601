//! One process, as the monitor that has started it sees it: the messages to and from it, and its exit.
//!
//! A process runs while its end of the socket is open: if the monitor exits for any reason, the process
//! reads the end of the stream, closes what it has, and exits.

use std::io;
use std::sync::Arc;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroize as _;

use super::auth_gate::AuthGate;
use super::event::{Exited, MonitorEvent};
use super::file_service::{FileService, allowed_files};
use super::processes::{ProcessKind, WEB, WORKER};
use super::services::Services;
use super::version_1;
use crate::audit::RefusedCalls;
use crate::config::{Config, Source};
use crate::ipc::{
    Datagram, MessageSocket, MonitorMessage, ProcessMessage, Provider, decode, encode,
};

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildRole {
    /// It is starting, since this time.
    Starting(Instant),
    /// It accepts clients, or calls.
    Serving,
    /// It serves the connections, or answers the calls, from before an upgrade, and accepts no more.
    Retired,
}

/// What the threads that receive from processes need.
#[derive(Clone, Debug)]
pub(super) struct ChildContext {
    pub(super) events: mpsc::Sender<MonitorEvent>,
    /// The way to the auth process.
    pub(super) gate: AuthGate,
    /// Where refused calls are written down.
    pub(super) refused: RefusedCalls,
    /// From these, the files are listed that are opened for each kind of process.
    pub(super) config: Arc<(Config, Source)>,
}

impl ChildContext {
    fn services(&self, process: &ChildProcess) -> Services {
        let (kind, pid) = (process.kind, process.pid.as_raw_nonzero().get());
        let (config, source) = &*self.config;
        let files = FileService::new(Arc::new(allowed_files(kind, config, source)));
        let (gate, refused) = (self.gate.clone(), self.refused.clone());
        Services::new(kind, (pid, process.version), files, gate, refused)
    }
}

/// A process that the monitor has started.
#[derive(Debug)]
pub(super) struct ChildProcess {
    pub(super) pid: Pid,
    pub(super) socket: Arc<MessageSocket>,
    pub(super) role: ChildRole,
    /// The protocol version that it speaks.
    pub(super) version: u32,
    /// Its row in the table of processes.
    pub(super) kind: &'static ProcessKind,
    /// Whether it has answered the last ping.
    pub(super) is_alive: bool,
}

impl ChildProcess {
    /// A process that was started just now, or by an earlier version of this program. Nothing is
    /// received from it before [`Self::listen`].
    pub(super) fn new(
        kind: &'static ProcessKind,
        pid: Pid,
        socket: MessageSocket,
        role: ChildRole,
        version: u32,
    ) -> Self {
        Self {
            pid,
            socket: Arc::new(socket),
            role,
            version,
            kind,
            is_alive: true,
        }
    }

    /// Whether it speaks SSH with clients.
    pub(super) fn is_worker(&self) -> bool {
        self.kind.name == WORKER.name
    }

    /// Whether it serves the web.
    pub(super) fn is_web(&self) -> bool {
        self.kind.name == WEB.name
    }

    /// Whether it provides the services of the auth process.
    pub(super) fn is_auth(&self) -> bool {
        self.kind.provides == Some(Provider::Auth)
    }

    /// Receives its messages, on a thread that ends with the process.
    ///
    /// # Errors
    /// When no thread can be created.
    pub(super) fn listen(self, context: &ChildContext) -> io::Result<Self> {
        let receiver = Receiver {
            pid: self.pid,
            is_auth: self.is_auth(),
            version: self.version,
            services: context.services(&self),
            events: context.events.clone(),
        };
        let socket = Arc::clone(&self.socket);
        std::thread::Builder::new()
            .name(format!("of-{}", self.pid.as_raw_nonzero()))
            .spawn(move || receiver.run(&socket))?;
        Ok(self)
    }

    /// Sends it a message. If that fails, the process is about to exit or hangs, which is noticed in
    /// other ways.
    pub(super) fn send(&self, message: &MonitorMessage) {
        let sent = encode(message).map_err(io::Error::from);
        let sent = sent.and_then(|bytes| self.socket.send(&bytes, &[]));
        if let Err(error) = sent {
            let pid = self.pid.as_raw_nonzero();
            tracing::debug!(%error, ?message, "process {pid} cannot be told");
        }
    }
}

/// The event loop has ended.
struct EventLoopEnded;

/// Receives the messages of one process.
struct Receiver {
    pid: Pid,
    is_auth: bool,
    version: u32,
    services: Services,
    events: mpsc::Sender<MonitorEvent>,
}

impl Receiver {
    /// Answers its calls and passes on its other messages, and finally its exit.
    fn run(self, socket: &MessageSocket) {
        loop {
            match socket.receive() {
                Ok(Some(message)) => {
                    if self.take(message).is_err() {
                        return;
                    }
                }
                // None of ours is as long, or has as many files. The next one can be read all the same.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.services.note(None, "too-long");
                }
                Ok(None) | Err(_) => break,
            }
        }
        let exited = loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(Some((_, status))) => break Exited::from(status),
                Ok(None) | Err(_) => break Exited::Unknown,
            }
        };
        // Without a receiver, the event loop and the monitor have ended.
        let last = MonitorEvent::Exited(self.pid, exited);
        drop(self.events.blocking_send(last));
    }

    /// Handles one message. Fails when the event loop has ended.
    fn take(&self, message: Datagram) -> Result<(), EventLoopEnded> {
        let Datagram {
            mut bytes,
            mut files,
        } = message;
        if self.version == 1 && version_1::serve(&self.services, &bytes, &mut files) {
            return Ok(());
        }
        match decode(&bytes) {
            Ok(ProcessMessage::Call(call)) => {
                self.services.serve(call, bytes.len(), files);
                // It can contain what a person has typed.
                bytes.zeroize();
            }
            // Workers are told which CAs they trust.
            Ok(ProcessMessage::Keys(_)) if !self.is_auth => {
                self.services.note(None, "not-allowed");
            }
            Ok(message) => {
                let event = MonitorEvent::Message(self.pid, message);
                return self
                    .events
                    .blocking_send(event)
                    .map_err(|_event| EventLoopEnded);
            }
            Err(error) => {
                tracing::debug!(%error, "a process says what nobody understands");
                self.services.note(None, "malformed");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;
    use crate::cert::testing::ed25519;
    use crate::ipc::{
        AllowedFiles, CaKeyLine, Client, FilePurpose, RemoteFiles, RemoteSigning, Signing as _,
        SigningAnswer, SigningRequest, VERSION,
    };
    use crate::monitor::testing::ServicesHome;
    use crate::sys::files::{Files as _, read_limited};
    use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

    /// A process that exits with this code as soon as its standard input ends, and the worker that it
    /// stands for.
    #[expect(
        clippy::zombie_processes,
        reason = "the thread that listens waits for it"
    )]
    fn listened_to(
        context: &ChildContext,
        version: u32,
        code: u8,
    ) -> (ChildProcess, MessageSocket) {
        let child = Command::new("sh")
            .args(["-c", &format!("exit {code}")])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let (near, far) = MessageSocket::pair().unwrap();
        let role = ChildRole::Starting(Instant::now());
        let worker = ChildProcess::new(&WORKER, pid, near, role, version);
        (worker.listen(context).unwrap(), far)
    }

    #[test]
    fn its_messages_arrive_in_order_and_its_exit_last() {
        let home = ServicesHome::new();
        let (context, mut events) = home.context();
        let (worker, far) = listened_to(&context, VERSION, 3);
        for message in [
            br#""ready""#.as_slice(),
            b"what nobody understands",
            br#""lend""#,
            br#"{"draining":{"seconds":30}}"#,
        ] {
            far.send(message, &[]).unwrap();
        }
        let mut next = || events.blocking_recv().unwrap();
        let MonitorEvent::Message(pid, ProcessMessage::Ready) = next() else {
            panic!("not ready");
        };
        assert_eq!(pid, worker.pid);
        let draining = ProcessMessage::Draining { seconds: 30 };
        assert!(matches!(next(), MonitorEvent::Message(_, message) if message == draining));
        worker.send(&MonitorMessage::Ping);
        assert_eq!(far.receive().unwrap().unwrap().bytes, br#""ping""#);
        drop(far);
        assert!(matches!(next(), MonitorEvent::Exited(pid, Exited::Code(3)) if pid == worker.pid));
        // The worker is gone; that the message cannot be sent is no error.
        worker.send(&MonitorMessage::Ping);
    }

    /// What a worker may not say is dropped and written down, and what follows is heard.
    #[test]
    fn what_it_may_not_say_is_refused() {
        let home = ServicesHome::new();
        let (context, mut events) = home.context();
        let (_worker, far) = listened_to(&context, VERSION, 0);
        let key = ed25519().public_key().clone();
        let keys = ProcessMessage::Keys(crate::ipc::PublicCaKeys {
            user: vec![key.clone()],
            host: vec![key.clone()],
            signs: key,
        });
        far.send(&encode(&keys).unwrap(), &[]).unwrap();
        far.send(b"{\"retire\":null}", &[]).unwrap();
        let long = vec![b' '; crate::ipc::MAX_MESSAGE + 1];
        rustix::net::send(&far, &long, rustix::net::SendFlags::empty()).unwrap();
        // A call whose answer could not be waited for.
        let call = br#"{"call":{"id":1,"deadline_ms":0,"request":{"signing":"check"}}}"#;
        let (stream, _other) = UnixStream::pair().unwrap();
        far.send(call, &[stream.as_fd()]).unwrap();
        far.send(call, &[]).unwrap();
        far.send(br#""ready""#, &[]).unwrap();
        let next = events.blocking_recv();
        assert!(matches!(
            next,
            Some(MonitorEvent::Message(_, ProcessMessage::Ready))
        ));
        let refused = home.refused();
        let refused: Vec<_> = refused.iter().map(|(one, why)| (&**one, &**why)).collect();
        // Of two that are the same, the second is counted.
        assert_eq!(
            refused,
            [
                ("", "not-allowed"),
                ("", "malformed"),
                ("", "too-long"),
                ("signing", "malformed")
            ]
        );
    }

    #[test]
    fn its_calls_are_answered() {
        let home = ServicesHome::new();
        let (listed, secret) = (home.at("revoked.jsonl"), home.at("ca/host_ca"));
        write_whole(&listed, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let (context, _events) = home.context();
        let (_worker, far) = listened_to(&context, VERSION, 0);
        let client = Client::new(Arc::new(far));
        let key = ed25519().public_key().clone();
        home.auth().signs(&key, |_| None);
        let signing = RemoteSigning::new(client.clone()).ask(SigningRequest::Check);
        assert_eq!(signing.unwrap(), SigningAnswer::Key(Some(CaKeyLine(key))));
        // It goes by a list of its own, the monitor by another one.
        let wanted = AllowedFiles::new()
            .with(&listed, FilePurpose::Read)
            .with(&listed, FilePurpose::Append)
            .with(&secret, FilePurpose::Read);
        let files = RemoteFiles::new(wanted, client);
        assert_eq!(read_limited(&files, &listed, 10).unwrap(), b"text");
        for refused in [
            files.open_append(&listed).unwrap_err(),
            files.open_read(&secret).unwrap_err(),
        ] {
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    /// A worker of version 1 gets answers in its own format; other workers do not.
    #[test]
    fn version_1_is_spoken_with_workers_of_version_1() {
        let home = ServicesHome::new();
        home.auth().signs(ed25519().public_key(), |_| None);
        for version in [1, VERSION] {
            let (context, mut events) = home.context();
            let (_worker, far) = listened_to(&context, version, 0);
            let (ours, theirs) = UnixStream::pair().unwrap();
            far.send(br#""sign""#, &[theirs.as_fd()]).unwrap();
            drop(OwnedFd::from(theirs));
            far.send(br#""ready""#, &[]).unwrap();
            let ready = events.blocking_recv();
            assert!(matches!(
                ready,
                Some(MonitorEvent::Message(_, ProcessMessage::Ready))
            ));
            let request = crate::agent::request_identities();
            let mut stream = ours;
            // Without an answer the stream is closed already.
            io::Write::write_all(&mut stream, &request).unwrap_or_default();
            let count = io::Read::read(&mut stream, &mut [0; 4096]).unwrap_or(0);
            assert_eq!(count > 0, version == 1);
        }
    }
}
