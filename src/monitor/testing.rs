//! For tests of the monitor's parts: the services of one process, and the auth process that its calls are
//! passed on to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use ssh_key::PublicKey;
use tokio::sync::mpsc;

use super::auth_gate::AuthGate;
use super::child::ChildContext;
use super::event::MonitorEvent;
use super::file_service::FileService;
use super::processes::{ProcessKind, WORKER};
use super::services::Services;
use crate::audit::{DeferredLog, RefusedCalls};
use crate::config::{Config, Source};
use crate::ipc::{
    AllowedFiles, CaKeyLine, CallerProcess, Datagram, FilePurpose, IncomingCall, MessageSocket,
    MonitorMessage, Service, ServiceRequest, SigningAnswer, SigningRequest, VERSION, decode,
};
use crate::model::DataDir;
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

/// The process id that calls come from.
pub(super) const PID: i32 = 4_711;
/// How long a test waits for a message.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What services need: a directory for files, and the way to the auth process.
pub(super) struct ServicesHome {
    directory: tempfile::TempDir,
    pub(super) gate: AuthGate,
    /// Where refused calls are written down.
    refused: RefusedCalls,
}

impl ServicesHome {
    pub(super) fn new() -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let data_dir = DataDir::new(directory.path());
        let cluster = "example.test".parse().unwrap();
        let log = DeferredLog::new(&data_dir, &cluster, Clock::System);
        Self {
            directory,
            gate: AuthGate::default(),
            refused: RefusedCalls::new(Arc::new(log)),
        }
    }

    /// The service and the reason of each refused call that was written down, in their order.
    pub(super) fn refused(&self) -> Vec<(String, String)> {
        let log = DataDir::new(self.directory.path()).audit_log();
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let refused = text.lines().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["event"], "call.refused");
            assert_eq!(event["process"], "worker");
            let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (field("service"), field("reason"))
        });
        refused.collect()
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The services for a worker that may have these files opened.
    pub(super) fn services(&self, files: AllowedFiles) -> Services {
        self.services_of(&WORKER, files)
    }

    pub(super) fn services_of(&self, kind: &'static ProcessKind, files: AllowedFiles) -> Services {
        let files = FileService::new(Arc::new(files));
        let (gate, refused) = (self.gate.clone(), self.refused.clone());
        Services::new(kind, (PID, VERSION), files, gate, refused)
    }

    /// The configuration of a proxy in the directory.
    pub(super) fn config(&self) -> Config {
        let parsed = crate::config::parse(Path::new("f"), "", Some(self.directory.path()));
        parsed.unwrap().config
    }

    /// What the thread that receives from a process needs, and where its events arrive.
    pub(super) fn context(&self) -> (ChildContext, mpsc::Receiver<MonitorEvent>) {
        let (sender, events) = mpsc::channel(64);
        let source = Source {
            file: None,
            data_dir: None,
        };
        let context = ChildContext {
            events: sender,
            gate: self.gate.clone(),
            refused: self.refused.clone(),
            config: Arc::new((self.config(), source)),
        };
        (context, events)
    }

    /// An auth process that is ready.
    pub(super) fn auth(&self) -> AuthEnd {
        let (near, far) = MessageSocket::pair().unwrap();
        far.set_timeout(PATIENCE).unwrap();
        let near = Arc::new(near);
        self.gate.open(&near);
        AuthEnd { near, far }
    }
}

/// The auth process, as the monitor's socket to it shows it.
pub(super) struct AuthEnd {
    /// The monitor's end.
    pub(super) near: Arc<MessageSocket>,
    far: MessageSocket,
}

impl AuthEnd {
    /// The next call that is passed on.
    pub(super) fn takes(&self) -> (CallerProcess, IncomingCall, ServiceRequest) {
        let Datagram { bytes, files } = self.far.receive().unwrap().unwrap();
        let Ok(MonitorMessage::Call(forwarded)) = decode(&bytes) else {
            panic!("{}", String::from_utf8_lossy(&bytes));
        };
        let (incoming, request) = IncomingCall::forwarded(forwarded.call, files).unwrap();
        (forwarded.from, incoming, request)
    }

    /// Answers on a thread of its own: this key signs, and signs what `sign` has a signature for.
    pub(super) fn signs(
        self,
        key: &PublicKey,
        sign: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) {
        let key = CaKeyLine(key.clone());
        std::thread::spawn(move || {
            while let Ok(Some(Datagram { bytes, files })) = self.far.receive() {
                let Ok(MonitorMessage::Call(forwarded)) = decode(&bytes) else {
                    panic!("{}", String::from_utf8_lossy(&bytes));
                };
                let Some((incoming, request)) = IncomingCall::forwarded(forwarded.call, files)
                else {
                    panic!("no socket");
                };
                let answer = match request {
                    ServiceRequest::Signing(SigningRequest::Check) => {
                        SigningAnswer::Key(Some(key.clone()))
                    }
                    ServiceRequest::Signing(SigningRequest::Sign { data, .. }) => {
                        let refused = SigningAnswer::Refused(Some(key.clone()));
                        sign(&data).map_or(refused, SigningAnswer::Signature)
                    }
                    request => panic!("{request:?}"),
                };
                incoming.answer::<SigningRequest>(&answer, &[]);
            }
        });
    }

    /// Whether no call was passed on.
    pub(super) fn has_none(&self) -> bool {
        self.far.set_timeout(Duration::from_millis(1)).unwrap();
        let received = self.far.receive();
        self.far.set_timeout(PATIENCE).unwrap();
        received.is_err()
    }
}

/// The service of files when all its slots are taken by a file that does not open: a pipe, which
/// blocks until another process writes to it.
pub(super) struct HangingFiles {
    pub(super) services: Services,
    pipe: PathBuf,
    hanging: Vec<MessageSocket>,
    /// The answer to a request for a file that does open.
    pub(super) one_more: Option<Datagram>,
}

impl HangingFiles {
    /// `ask` asks for a file, and returns the socket on which the answer arrives. Until the last slot
    /// is taken, a file that does open is opened.
    pub(super) fn new(
        home: &ServicesHome,
        ask: impl Fn(&Services, &Path) -> MessageSocket,
    ) -> Self {
        let (there, pipe) = (home.at("there"), home.at("pipe"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&pipe, FilePurpose::Read);
        let services = home.services(files);
        let at_once = Service::Files.at_once();
        let mut hanging: Vec<_> = (1..at_once).map(|_| ask(&services, &pipe)).collect();
        let answer = ask(&services, &there).receive().unwrap();
        assert!(is_opened(answer.as_ref()));
        // Its thread may need a moment to give its slot back.
        let one_more = loop {
            hanging.push(ask(&services, &pipe));
            let answer = ask(&services, &there).receive().unwrap();
            if !is_opened(answer.as_ref()) {
                break answer;
            }
        };
        Self {
            services,
            pipe,
            hanging,
            one_more,
        }
    }

    /// Opens the pipe for writing: whatever had a slot gets its file.
    pub(super) fn let_open(self) {
        let _writer = File::options().append(true).open(&self.pipe).unwrap();
        let opened = self
            .hanging
            .iter()
            .filter(|socket| is_opened(socket.receive().unwrap().as_ref()))
            .count();
        assert!(opened >= Service::Files.at_once() - 1, "{opened}");
    }
}

fn is_opened(answer: Option<&Datagram>) -> bool {
    answer.is_some_and(|answer| answer.files.len() == 1)
}
