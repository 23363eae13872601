//! A worker in the hands of an attacker: the test holds the worker's own socket to the monitor, as a
//! debugger would, and says on it what it likes. The monitor and the auth process are the real ones.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rproxy::cert::proof::{public_key_request, signed_data};
use rproxy::ipc::{
    CallError, CallRefusal, Client, Exchange, MessageSocket, NodeRefusal, NodesAnswer,
    NodesQuestion, NodesRequest, OwnCommand, PeopleAnswer, PeopleQuestion, PeopleRefusal,
    PeopleRequest, Questions, SecretText, SignedProof,
};
use rproxy::model::ConnectionId;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::PrivateKey;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait after too many questions.
const AGAIN: Duration = Duration::from_millis(50);
/// The descriptor of a worker that leads to the monitor: its standard input.
const TO_MONITOR: i32 = 0;

/// The socket of a worker to the monitor.
#[derive(Clone, Debug)]
pub(crate) struct TakenWorker {
    socket: Arc<MessageSocket>,
    client: Client,
}

impl TakenWorker {
    /// Takes the socket of a running worker; `None` where this account may not, as all but root.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let socket = pidfd_getfd(process, TO_MONITOR, PidfdGetfdFlags::empty());
        let Ok(socket) = socket else {
            super::skipped::cannot("only root can take a worker over");
            return None;
        };
        let socket = Arc::new(MessageSocket::from_fd(socket).expect("the socket to the monitor"));
        let client = Client::new(Arc::<MessageSocket>::clone(&socket));
        Some(Self { socket, client })
    }

    /// Gives the socket back, once the worker has ended: the monitor reads its end then.
    pub(crate) fn let_go(&self) {
        let ended = rustix::net::shutdown(&*self.socket, rustix::net::Shutdown::Both);
        ended.expect("the socket is open");
    }

    /// A call, and its answer.
    pub(crate) fn call<E: Exchange>(
        &self,
        request: &E,
    ) -> Result<(E::Answer, Vec<OwnedFd>), CallError> {
        self.client.call(request)
    }

    /// The same; a call that is one too many at this moment is made later.
    fn call_later<E: Exchange>(&self, request: &E) -> Result<E::Answer, CallError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.call(request) {
                Err(CallError::Refused(CallRefusal::Busy)) if Instant::now() < until => {
                    std::thread::sleep(AGAIN);
                }
                answered => return answered.map(|(answer, _)| answer),
            }
        }
    }

    /// Sends a message with these files; whether it was sent.
    pub(crate) fn say(&self, message: &[u8], files: &[BorrowedFd<'_>]) -> bool {
        self.socket.send(message, files).is_ok()
    }

    /// Sends a message of any length, past the limit that processes keep.
    pub(crate) fn shout(&self, message: &[u8]) {
        let flags = rustix::net::SendFlags::empty();
        rustix::net::send(&*self.socket, message, flags).expect("the monitor reads");
    }

    /// Sends a message as a call; the answer as text, empty if the call is dropped.
    pub(crate) fn ask(&self, message: &str) -> String {
        let (ours, theirs) = MessageSocket::pair().expect("sockets");
        ours.set_timeout(PATIENCE).expect("a socket");
        assert!(
            self.say(message.as_bytes(), &[theirs.as_fd()]),
            "it is sent"
        );
        drop(theirs);
        let answer = ours.receive().expect("an answer, or its end in time");
        let bytes = answer.map(|answer| answer.bytes).unwrap_or_default();
        String::from_utf8(bytes).expect("JSON")
    }

    /// A connection that the worker claims to have, of a client with a key of its own.
    pub(crate) fn connection(&self, user: &str, client: SocketAddr) -> ClaimedConnection {
        self.connection_with(user, client, new_key())
    }

    /// The same of a client with this key.
    pub(crate) fn connection_with(
        &self,
        user: &str,
        client: SocketAddr,
        key: PrivateKey,
    ) -> ClaimedConnection {
        let id = ConnectionId::new();
        ClaimedConnection {
            worker: self.clone(),
            id,
            client,
            user: user.to_owned(),
            session: id.to_string().into_bytes(),
            key,
        }
    }
}

/// A new Ed25519 key.
pub(crate) fn new_key() -> PrivateKey {
    let mut seed = [0; 32];
    rand::fill(&mut seed);
    PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&seed))
}

/// A connection that a worker claims to have. What it says about it can be changed at any time.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedConnection {
    worker: TakenWorker,
    pub(crate) id: ConnectionId,
    pub(crate) client: SocketAddr,
    pub(crate) user: String,
    pub(crate) session: Vec<u8>,
    pub(crate) key: PrivateKey,
}

impl ClaimedConnection {
    /// The same connection, as another worker claims to have it.
    pub(crate) fn claimed_by(&self, worker: &TakenWorker) -> Self {
        Self {
            worker: worker.clone(),
            ..self.clone()
        }
    }

    /// Asks about the person on the connection.
    pub(crate) fn ask(&self, ask: PeopleQuestion) -> PeopleAnswer {
        self.try_ask(ask).expect("the auth process answers")
    }

    /// The same of an auth process that may die meanwhile. More questions than it takes are asked later.
    pub(crate) fn try_ask(&self, ask: PeopleQuestion) -> Result<PeopleAnswer, CallError> {
        let request = PeopleRequest {
            connection: self.id,
            client: self.client,
            user: self.user.clone(),
            waited: 0,
            ask,
        };
        self.worker.call_later(&request)
    }

    /// Asks about the host on the connection.
    pub(crate) fn ask_node(&self, ask: NodesQuestion) -> NodesAnswer {
        let request = NodesRequest {
            connection: self.id,
            client: self.client,
            ask,
        };
        let answer = self.worker.call_later(&request);
        answer.expect("the auth process answers")
    }

    /// A right proof of the host key, and what comes of it.
    pub(crate) fn prove_host(&self) -> NodesAnswer {
        self.ask_node(NodesQuestion::Prove(self.proof()))
    }

    /// The public key, encoded.
    pub(crate) fn blob(&self) -> Vec<u8> {
        self.key.public_key().to_bytes().expect("a key has bytes")
    }

    /// SHA-256, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        self.key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    /// A right proof.
    pub(crate) fn proof(&self) -> SignedProof {
        self.proof_with(self.key.algorithm().as_str(), self.blob())
    }

    /// A proof with this public key or certificate, signed by the client's key.
    pub(crate) fn proof_with(&self, algorithm: &str, key: Vec<u8>) -> SignedProof {
        let request = public_key_request(&self.user, algorithm, &key, None, true);
        let data = signed_data(&self.session, &request);
        let signature: ssh_key::Signature = self.key.try_sign(&data).expect("a key that can sign");
        SignedProof {
            session: self.session.clone(),
            algorithm: algorithm.to_owned(),
            signature: signature.encode_vec().expect("a signature has bytes"),
            key,
            host_key: Vec::new(),
        }
    }

    /// A right proof, and what comes of it.
    pub(crate) fn prove(&self) -> PeopleAnswer {
        self.ask(PeopleQuestion::Prove(self.proof()))
    }

    /// Begins to be asked.
    pub(crate) fn begin(&self) -> PeopleAnswer {
        self.ask(PeopleQuestion::Begin)
    }

    /// Answers.
    pub(crate) fn answer(&self, answers: &[&str]) -> PeopleAnswer {
        self.ask(answers_of(answers))
    }

    /// A certificate for this login.
    pub(crate) fn certificate(&self, login: &str) -> PeopleAnswer {
        self.ask(certificate_for(login))
    }

    /// A command of the person.
    pub(crate) fn own(&self, command: OwnCommand) -> PeopleAnswer {
        self.ask(PeopleQuestion::Own(command))
    }

    /// The connection ends.
    pub(crate) fn close(&self) {
        assert_eq!(self.ask(PeopleQuestion::Close), PeopleAnswer::Closed);
    }
}

/// Answers, as they are asked with.
pub(crate) fn answers_of(answers: &[&str]) -> PeopleQuestion {
    let secret = |text: &&str| SecretText::new((*text).to_owned());
    PeopleQuestion::Answer(answers.iter().map(secret).collect())
}

/// A certificate for this login, as it is asked for.
pub(crate) fn certificate_for(login: &str) -> PeopleQuestion {
    PeopleQuestion::Certificate {
        login: login.parse().expect("a login"),
        target: "db1".to_owned(),
        through_tunnel: false,
    }
}

/// Questions, and nothing else.
pub(crate) fn questions(answer: PeopleAnswer) -> Questions {
    match answer {
        PeopleAnswer::Questions(questions) => questions,
        other => panic!("{other:?}"),
    }
}

/// The same of a host.
pub(crate) fn refused_node(answer: NodesAnswer) -> NodeRefusal {
    match answer {
        NodesAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A refusal, and nothing else.
pub(crate) fn refused(answer: PeopleAnswer) -> PeopleRefusal {
    match answer {
        PeopleAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}
