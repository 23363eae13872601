//! A CA's key in an ssh-agent, which may use a token or another machine.
//!
//! The agent is not trusted: its replies are limited in size and time, and no signature is returned
//! that was not verified with the configured key.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Fingerprint, HashAlg, PublicKey, Signature};

use super::agent_error::{AgentFault, AgentKeyError, ListedKeys};
use super::agent_key_config::{AgentSocket, KeyInAgent};
use crate::agent::{self, AgentIdentity, AgentReply, ReplyDecoder, SignFlags};
use crate::cert::{PresentedKey, SignatureError, check_signature, fit_to_sign};
use crate::model::text::Printable;

/// What is signed to see whether a key signs. It reads as no certificate and no request for a login.
const TRIAL: &[u8] = b"rproxy: does this key sign?";

/// How long an agent may take over one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignTimeout {
    /// A person waits, and may have to confirm, to touch a token or to type its PIN: a minute.
    Person,
    /// A connection waits: ten seconds.
    Connection,
}

impl SignTimeout {
    /// The time.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            Self::Person => Duration::from_secs(60),
            Self::Connection => Duration::from_secs(10),
        }
    }
}

/// A key that an agent has, known by its public half.
#[derive(Clone, Debug)]
pub(super) struct AgentKey {
    agent: AgentSocket,
    public: PublicKey,
}

impl AgentKey {
    /// A key whose public half is known.
    pub(super) fn new(agent: AgentSocket, public: PublicKey) -> Self {
        Self { agent, public }
    }

    /// Asks the agent for the public half, and whether it signs.
    pub(super) fn find(wanted: &KeyInAgent, patience: SignTimeout) -> Result<Self, AgentKeyError> {
        let public = with(&wanted.agent, patience, |connection| {
            connection.find(&wanted.key)
        })?;
        let key = Self::new(wanted.agent.clone(), public);
        key.prove(patience)?;
        Ok(key)
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn agent(&self) -> &AgentSocket {
        &self.agent
    }

    /// Whether the agent lists the key. Agents do so without asking a person to confirm.
    pub(super) fn check(&self, patience: SignTimeout) -> Result<(), AgentKeyError> {
        let key = self.public.fingerprint(HashAlg::Sha256);
        with(&self.agent, patience, |connection| {
            connection.find(&key).map(drop)
        })
    }

    /// Whether the agent signs with it.
    pub(super) fn prove(&self, patience: SignTimeout) -> Result<(), AgentKeyError> {
        self.sign(TRIAL, patience).map(drop)
    }

    /// Has the agent sign, and verifies what it gives.
    pub(super) fn sign(
        &self,
        message: &[u8],
        patience: SignTimeout,
    ) -> Result<Signature, AgentKeyError> {
        with(&self.agent, patience, |connection| {
            connection.sign(&self.public, message)
        })
    }
}

/// One connection for one purpose, and a new one each time: an agent may have been started again since
/// the last.
fn with<T>(
    agent: &AgentSocket,
    patience: SignTimeout,
    ask: impl FnOnce(&mut Connection) -> Result<T, AgentFault>,
) -> Result<T, AgentKeyError> {
    Connection::open(agent, patience)
        .and_then(|mut connection| ask(&mut connection))
        .map_err(|fault| AgentKeyError::new(agent.clone(), fault))
}

/// A connection to an agent, with the time that is left for it.
struct Connection {
    stream: UnixStream,
    decoder: ReplyDecoder,
    limit: Duration,
    deadline: Instant,
}

impl Connection {
    fn open(agent: &AgentSocket, patience: SignTimeout) -> Result<Self, AgentFault> {
        let socket = agent.path().ok_or(AgentFault::NoEnvironment)?;
        match connect(&socket) {
            Ok(stream) => Ok(Self::over(stream, patience)),
            // Its queue of connections is full: it has accepted none for long.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(AgentFault::Timeout(patience.limit()))
            }
            Err(error) => Err(AgentFault::Connect(error)),
        }
    }

    fn over(stream: UnixStream, patience: SignTimeout) -> Self {
        let limit = patience.limit();
        Self {
            stream,
            decoder: ReplyDecoder::default(),
            limit,
            deadline: Instant::now() + limit,
        }
    }

    /// The key with this fingerprint, from the agent's list; fit to be a CA's.
    fn find(&mut self, wanted: &Fingerprint) -> Result<PublicKey, AgentFault> {
        let reply = self.ask(&agent::request_identities())?;
        find_listed(&agent::expect_identities(reply)?, wanted)
    }

    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<Signature, AgentFault> {
        let flags = match key.key_data() {
            KeyData::Rsa(_) => SignFlags::RSA_SHA2_512,
            _ => SignFlags::NONE,
        };
        let request = agent::sign_request(&key.to_bytes()?, message, flags);
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let signature = match self.ask(&request)? {
            AgentReply::Failure | AgentReply::ExtensionFailure => {
                // Its list tells whether it lacks the key.
                self.find(&fingerprint)?;
                return Err(AgentFault::Refused(fingerprint));
            }
            reply => agent::expect_signature(reply)?,
        };
        check_signed(key, message, &signature)
    }

    fn ask(&mut self, request: &[u8]) -> Result<AgentReply, AgentFault> {
        let left = self.left()?;
        self.stream
            .set_write_timeout(Some(left))
            .and_then(|()| self.stream.write_all(request))
            .map_err(|error| self.failed(error))?;
        let mut buffer = [0; 4096];
        loop {
            if let Some(reply) = self.decoder.next_reply()? {
                return Ok(reply);
            }
            let left = self.left()?;
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(AgentFault::HungUp),
                Ok(length) => self
                    .decoder
                    .feed(buffer.get(..length).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// What is left of its time; never zero, which would mean forever.
    fn left(&self) -> Result<Duration, AgentFault> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AgentFault::Timeout(self.limit));
        }
        Ok(left)
    }

    fn failed(&self, error: io::Error) -> AgentFault {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AgentFault::Timeout(self.limit),
            // It was closed while we wrote.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => AgentFault::HungUp,
            _ => AgentFault::Io(error),
        }
    }
}

/// The key with this fingerprint, from a list; fit to be a CA's.
pub(super) fn find_listed(
    identities: &[AgentIdentity],
    wanted: &Fingerprint,
) -> Result<PublicKey, AgentFault> {
    if identities.is_empty() {
        return Err(AgentFault::Empty);
    }
    // A certificate has its key's fingerprint, and signs nothing here.
    let key = identities
        .iter()
        .filter_map(|identity| match PresentedKey::decode(&identity.blob) {
            Ok(PresentedKey::Plain(key)) => Some(key),
            _ => None,
        })
        .find(|key| key.fingerprint(HashAlg::Sha256) == *wanted);
    match key {
        Some(key) => Ok(fit_to_sign(key)?),
        None => Err(AgentFault::NotHeld {
            key: *wanted,
            held: ListedKeys::of(identities),
        }),
    }
}

/// A signature as it came, if this key has signed this message.
pub(super) fn check_signed(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<Signature, AgentFault> {
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    let signature = Signature::try_from(signature)?;
    // What an agent has a browser sign, most releases of sshd take from no CA.
    if let Algorithm::Other(found) = signature.algorithm() {
        return Err(AgentFault::Signature {
            key: fingerprint,
            source: SignatureError::Algorithm {
                key: key.algorithm().as_str().to_owned(),
                found: Printable(found.as_str()).to_string(),
            },
        });
    }
    check_signature(key.key_data(), message, &signature).map_err(|source| {
        AgentFault::Signature {
            key: fingerprint,
            source,
        }
    })?;
    Ok(signature)
}

/// Connects without ever waiting: the standard library waits for as long as the agent accepts no
/// connection.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    loop {
        match rustix::net::connect(&stream, &address) {
            Err(Errno::INTR) => {}
            connected => break connected?,
        }
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}
