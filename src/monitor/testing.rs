//! For tests of the monitor's parts: CAs on disk, and the services of one process over them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use ssh_key::PublicKey;
use ssh_key::certificate::{Builder, CertType};
use tokio::sync::mpsc;

use super::authorities::Current;
use super::child::ChildContext;
use super::event::MonitorEvent;
use super::file_service::FileService;
use super::processes::{ProcessKind, WORKER};
use super::services::Services;
use super::signing_service::SigningService;
use crate::ca::testing::CaHome;
use crate::ca::{Authorities, CaKind};
use crate::cert::testing::ed25519;
use crate::ipc::{AllowedFiles, Datagram, FilePurpose, MessageSocket, Service};
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};

/// CAs with keys of their own, in a directory that goes with them.
pub(super) struct OpenCas {
    _ca: CaHome,
    /// For files of a test.
    directory: tempfile::TempDir,
    authorities: Arc<Authorities>,
    pub(super) current: Current,
}

impl OpenCas {
    pub(super) fn new() -> Self {
        let ca = CaHome::new();
        let current = Current::of(ca.open().unwrap());
        Self {
            _ca: ca,
            directory: crate::sys::fs::private_tempdir(),
            authorities: current.get().unwrap(),
            current,
        }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn key(&self, kind: CaKind) -> &PublicKey {
        self.authorities.of(kind).public_key()
    }

    /// The services for a worker that may have these files opened.
    pub(super) fn services(&self, files: AllowedFiles) -> Services {
        self.services_of(&WORKER, files)
    }

    pub(super) fn services_of(&self, kind: &'static ProcessKind, files: AllowedFiles) -> Services {
        let files = FileService::new(Arc::new(files));
        Services::new(kind, files, SigningService::new(self.current.clone()))
    }

    /// What the thread that receives from a worker needs, and where its events arrive.
    pub(super) fn context(
        &self,
        files: AllowedFiles,
    ) -> (ChildContext, mpsc::Receiver<MonitorEvent>) {
        let (sender, events) = mpsc::channel(64);
        let context = ChildContext {
            events: sender,
            authorities: self.current.clone(),
            files: Arc::new(files),
        };
        (context, events)
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
    pub(super) fn new(cas: &OpenCas, ask: impl Fn(&Services, &Path) -> MessageSocket) -> Self {
        let (there, pipe) = (cas.at("there"), cas.at("pipe"));
        write_whole(&there, b"text", PRIVATE_FILE, Replace::Refuse).unwrap();
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let files = AllowedFiles::new()
            .with(&there, FilePurpose::Read)
            .with(&pipe, FilePurpose::Read);
        let services = cas.services(files);
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

/// What an attacker in a worker would like to have signed: a certificate of any kind, as its signer
/// would see it, for this CA.
pub(super) fn unsigned(kind: CertType, seconds: u64, authority: &PublicKey) -> Vec<u8> {
    let now = Clock::System.unix_seconds();
    let subject = ed25519().public_key().key_data().clone();
    let mut builder = Builder::new(vec![1; 32], subject, now - 1, now + seconds).unwrap();
    builder.serial(7).unwrap();
    builder.cert_type(kind).unwrap();
    builder.key_id("root").unwrap();
    builder.valid_principal("root").unwrap();
    let other = ed25519();
    let signed = builder.sign(&other).unwrap();
    // The same with the CA's key in the place of the one that it was made with.
    let bytes = signed.to_bytes().unwrap();
    let own = other.public_key().to_bytes().unwrap();
    let at = bytes.windows(own.len()).rposition(|part| part == own);
    let mut data = bytes[..at.unwrap() - 4].to_vec();
    let blob = authority.to_bytes().unwrap();
    data.extend(u32::try_from(blob.len()).unwrap().to_be_bytes());
    data.extend(blob);
    data
}

/// What an attacker in a worker may not have signed, each with the key that is asked to.
pub(super) fn forbidden(cas: &OpenCas) -> Vec<(PublicKey, Vec<u8>)> {
    let (user, host) = (cas.key(CaKind::User), cas.key(CaKind::Host));
    let wanted = [
        // Certificates for people, by either key.
        (user, unsigned(CertType::User, 3_600, user)),
        (host, unsigned(CertType::User, 3_600, host)),
        (host, unsigned(CertType::User, 3_600, user)),
        // Host certificates that outlive the discovery of the attack.
        (host, unsigned(CertType::Host, 365 * 86_400, host)),
        (host, unsigned(CertType::Host, u64::from(u32::MAX), host)),
        // The user CA is asked for a host, or a host certificate claims to be its own.
        (user, unsigned(CertType::Host, 3_600, user)),
        (host, unsigned(CertType::Host, 3_600, user)),
        // Other signatures.
        (host, b"SSHSIG\0\0\0\x04file".to_vec()),
        (host, vec![0; 200]),
        (host, Vec::new()),
    ];
    wanted
        .into_iter()
        .map(|(key, data)| (key.clone(), data))
        .collect()
}
