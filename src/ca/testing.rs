//! For tests: a data directory with its configuration, real agents, and agents that lie.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ssh_key::{Certificate, HashAlg, LineEnding, PrivateKey, PublicKey};

use super::agent_key::SignTimeout;
use super::*;
use crate::audit::{AuditSink, DeferredLog};
use crate::cert::testing::string;
use crate::cert::{CertTemplate, HostRequest, MAX_USER_TTL, UserRequest};
use crate::model::DataDir;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::fs::{PRIVATE_FILE, Replace, write_whole};
use crate::sys::script::put_script;

pub(crate) const NOW: u64 = 1_800_000_000;

/// A data directory, and what the configuration says about keys.
pub(crate) struct CaHome {
    pub(super) directory: tempfile::TempDir,
    pub(super) ca_keys: CaKeys,
}

impl CaHome {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            ca_keys: CaKeys::default(),
        }
    }

    /// Runs something with what is known of the installation.
    pub(super) fn with<T>(&self, run: impl FnOnce(&Installation<'_>) -> T) -> T {
        self.with_clock(Clock::Fixed(NOW), run)
    }

    /// The same at another time.
    pub(super) fn with_clock<T>(
        &self,
        clock: Clock,
        run: impl FnOnce(&Installation<'_>) -> T,
    ) -> T {
        run(&Installation {
            data_dir: &self.data_dir(),
            cluster: &"example.com".parse().unwrap(),
            ca_keys: &self.ca_keys,
            records: CaRecords::in_files(&self.data_dir(), clock),
            clock,
        })
    }

    pub(crate) fn data_dir(&self) -> DataDir {
        DataDir::new(self.directory.path().join("data"))
    }

    /// Makes what is missing, and opens it.
    pub(crate) fn open(&self) -> Result<Authorities, CaError> {
        self.with(|installation| Ok(Authorities::make(installation)?.0))
    }

    pub(super) fn go(&self, kind: CaKind, to: RotationPhase) -> Result<(), CaError> {
        let change = |rotation: &Rotation, kept, now| rotation.go(kind, to, kept, now);
        self.with(|installation| Authorities::rotate(installation, kind, change).map(drop))
    }

    pub(super) fn import(
        &self,
        kind: CaKind,
        file: &Path,
        mode: ImportMode,
    ) -> Result<Option<PublicKey>, CaError> {
        let KeyFile::Ready(key) = KeyFile::read(file).unwrap() else {
            panic!("a passphrase");
        };
        self.with(|installation| Authorities::import(installation, kind, key, mode))
            .map(|(before, _)| before)
    }

    /// Where a file or a socket of the test goes.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn ca(&self, name: &str) -> PathBuf {
        self.path("data/ca").join(name)
    }

    /// The names of the key files.
    pub(super) fn key_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("data/ca")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("_ca") && !name.contains("_kept_"))
            .filter(|name| name != "host_ca_successors")
            .collect();
        names.sort();
        names
    }

    /// Fingerprints of the trusted keys, and of the one that signs.
    pub(super) fn keys(&self, kind: CaKind) -> (Vec<String>, String) {
        let authorities = self.open().unwrap();
        let authority = authorities.of(kind);
        let trusted = authority.public_keys().iter().map(fingerprint).collect();
        (trusted, fingerprint(authority.public_key()))
    }

    /// Writes a private key file and its public one; gives the path.
    pub(super) fn write(&self, name: &str, key: &PrivateKey) -> PathBuf {
        let path = self.path(name);
        let text = key.to_openssh(LineEnding::LF).unwrap();
        write_whole(&path, text.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let beside = self.path(&format!("{name}.pub"));
        write_whole(&beside, public.as_bytes(), PRIVATE_FILE, Replace::Allow).unwrap();
        path
    }
}

/// Everything in a directory, with its content and the time of its last change.
pub(super) fn everything_in(directory: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        }
        let changed = path.metadata().unwrap().modified().unwrap();
        let content = std::fs::read(&path).unwrap_or_default();
        found.push((path, content, changed));
    }
    found.sort();
    found
}

/// Acts as the owner of this installation's keys; rotation steps are in its audit log.
fn own<T>(
    installation: &Installation<'_>,
    act: impl FnOnce(&KeyOwner<'_>) -> Result<T, CaError>,
) -> Result<T, CaError> {
    let (data_dir, cluster) = (installation.data_dir, installation.cluster);
    let audit = DeferredLog::new(data_dir, cluster, installation.clock);
    act(&KeyOwner::new(installation.clone(), &audit))
}

/// What tests do to the keys of an installation.
impl Authorities {
    /// Makes what is missing, and opens it; gives the keys that were made, too.
    pub(crate) fn make(installation: &Installation<'_>) -> Result<(Self, Vec<Made>), CaError> {
        let made = own(installation, |owner| owner.make())?;
        Ok((Self::open(installation)?, made))
    }

    pub(super) fn rotate(
        installation: &Installation<'_>,
        kind: CaKind,
        change: impl FnOnce(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        own(installation, |owner| owner.rotate(kind, change))
    }

    pub(super) fn import(
        installation: &Installation<'_>,
        kind: CaKind,
        key: ImportedKey,
        mode: ImportMode,
    ) -> Result<(Option<PublicKey>, Rotation), CaError> {
        own(installation, |owner| owner.import(kind, key, mode))
    }

    pub(super) fn remove_kept(
        installation: &Installation<'_>,
        kind: CaKind,
    ) -> Result<Vec<PublicKey>, CaError> {
        own(installation, |owner| owner.remove_kept(kind))
    }

    /// Issues a certificate to a person where nothing is revoked and no role says how long it may live.
    pub(super) fn issue_user(&self, request: UserRequest) -> Result<Issued, CaError> {
        self.issue(IssueRequest::User(request))
    }

    pub(super) fn issue_host(&self, request: HostRequest) -> Result<Issued, CaError> {
        self.issue(IssueRequest::Host(request))
    }

    fn issue(&self, request: IssueRequest) -> Result<Issued, CaError> {
        let [state, _] = self.state_files();
        let ledger = Ledger::of(&DataDir::new(state.parent().unwrap().parent().unwrap()));
        let rules = IssuingRules {
            limits: &no_roles(),
            revocations: &Revocations::default(),
            ledger: &ledger,
            issued_for: IssuedFor::Signed,
            clock: Clock::Fixed(NOW),
        };
        match Issuer::new(self, rules, &Unaudited).issue(request, &Actor::of_this_process()) {
            Ok(issued) => Ok(issued),
            Err(IssueError::Ca(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The limits of a configuration that says nothing.
pub(super) fn no_roles() -> TtlLimits {
    let policy = crate::access::Policy::new(
        "test",
        crate::access::Permissions::default(),
        Vec::new(),
        Vec::new(),
    );
    TtlLimits::new(policy, MAX_USER_TTL)
}

/// Takes every event, and keeps none.
#[derive(Debug)]
struct Unaudited;

impl AuditSink for Unaudited {
    fn emit(&self, _: &crate::audit::AuditEvent) -> Result<(), crate::audit::AuditError> {
        Ok(())
    }
}

/// A key at hand, where the proxy has one in another process.
impl SignsHosts for Authority {
    fn public_key(&self) -> &PublicKey {
        Self::public_key(self)
    }

    fn sign(&self, template: &CertTemplate) -> Result<Certificate, CaError> {
        Self::sign(self, template, SignTimeout::Connection)
    }

    fn check(&self) -> Result<(), CaError> {
        self.check_key()
    }
}

pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// An entry of the configuration.
pub(super) fn in_agent(socket: &Path, key: &PrivateKey) -> Option<KeyInAgent> {
    Some(KeyInAgent {
        agent: AgentSocket::Path(socket.to_owned()),
        key: key.public_key().fingerprint(HashAlg::Sha256),
    })
}

pub(super) fn user_request(key: &PublicKey) -> UserRequest {
    UserRequest {
        identity: "alice".parse().unwrap(),
        logins: vec!["root".parse().unwrap()],
        public_key: key.clone(),
        ttl: Duration::from_secs(60),
        source_addresses: Vec::new(),
        sign_in: None,
    }
}

pub(super) fn host_request(key: &PublicKey) -> HostRequest {
    HostRequest {
        names: vec!["db1".parse().unwrap()],
        public_key: key.clone(),
        ttl: Duration::from_secs(60),
        extensions: None,
    }
}

/// A real ssh-agent; it ends with the test.
pub(super) struct TestAgent {
    pub(super) socket: PathBuf,
    child: Child,
}

impl TestAgent {
    /// Starts an agent. Every confirmation in it is refused.
    pub(super) fn start(socket: &Path) -> Self {
        let mut child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(socket)
            .env("SSH_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-agent is missing: install the package openssh-client");
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(socket).is_err() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("ssh-agent does not listen");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            socket: socket.to_owned(),
            child,
        }
    }

    pub(super) fn add(&self, arguments: &[&str], key: &Path) {
        self.ssh_add(|command| command.args(arguments).arg(key));
    }

    /// `ssh-add`, which must succeed. What it asks for is answered with "secret".
    pub(super) fn ssh_add(&self, change: impl FnOnce(&mut Command) -> &mut Command) {
        let mut command = Command::new("ssh-add");
        change(command.arg("-q"));
        let askpass = self.socket.with_extension("askpass");
        if !askpass.exists() {
            put_script("#!/bin/sh\necho secret\n", &askpass);
        }
        let output = command
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        // It may have died by itself, which its test has then noticed.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.socket));
    }
}

/// An agent of the test's own: every message gets the answer of `answer`, unframed; none ends the
/// connection.
pub(super) fn double(socket: &Path, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            while let Some(message) = read_message(&mut stream) {
                let Some(reply) = answer(&message) else { break };
                if stream.write_all(&string(&reply)).is_err() {
                    break;
                }
            }
        }
    });
}

fn read_message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// The answer to a request for the list.
pub(super) fn listing(keys: &[Vec<u8>]) -> Vec<u8> {
    let mut answer = vec![12];
    answer.extend(u32::try_from(keys.len()).unwrap().to_be_bytes());
    for key in keys {
        answer.extend(string(key));
        answer.extend(string(b"a \x1b[2Jcomment"));
    }
    answer
}

/// The message that a request asks to sign.
pub(super) fn to_sign(request: &[u8]) -> Option<Vec<u8>> {
    use ssh_encoding::Decode as _;
    let rest = &mut request.strip_prefix(&[13])?;
    Vec::<u8>::decode(rest).unwrap();
    Some(Vec::decode(rest).unwrap())
}
