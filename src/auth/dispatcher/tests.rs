//! Processes that exit while what they have asked is answered: nothing of them remains.

use std::os::fd::AsFd as _;
use std::sync::mpsc::channel;

use ssh_key::PrivateKey;
use tempfile::TempDir;

use super::super::testing::{laid, parsed};
use super::*;
use crate::audit::testing::Audited;
use crate::cert::testing::ed25519;
use crate::enrolment::testing::{host_proof, node};
use crate::ipc::{
    Announcement, BrowserPasswordQuestion, BrowserSessionQuestion, MessageSocket, NodesQuestion,
    SecretText, ServiceCall,
};
use crate::model::{ConnectionId, TunnelRule};
use crate::state::testing::token;
use crate::state::{JoinedNode, State};
use crate::sys::clock::monotonic;

const PATIENCE: Duration = Duration::from_secs(60);
const CONFIG: &str = "cluster_name: example.test\n";

/// The services of a new installation, for one worker and the node `db1`.
struct Services {
    dispatcher: Dispatcher,
    state: State,
    worker: CallerProcess,
    host: PrivateKey,
    _directory: TempDir,
}

impl Services {
    fn new() -> Self {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), CONFIG);
        let ground = laid(&config);
        let state = ground.state.clone();
        let host = ed25519();
        let key = host.public_key();
        let joined = JoinedNode {
            key: key.to_openssh().unwrap(),
            fingerprint: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
            tunnel: TunnelRule::Required,
            ..node("db1")
        };
        let now = state.now();
        let token = token("hash", 1, now + 60);
        state.tokens().put(&token).unwrap();
        state.nodes().join(&joined, "hash", now).unwrap();
        let (authorities, records) = (ground.authorities.clone(), ground.records.clone());
        let providers = Providers {
            signing: Arc::new(SigningService::new(authorities)),
            people: None,
            nodes: Arc::new(NodesProvider::new(&config, &ground)),
            peers: Arc::new(PeersService::new(state.clone())),
            published: Arc::new(PublishedService::new(
                config.cluster_name.clone(),
                records.clone(),
                ground.authorities.clone(),
            )),
            changes: Arc::new(ChangesService::new(state.clone(), records).unwrap()),
            telemetry: Arc::new(TelemetryService::new(state.clone(), ground.meters, 0)),
            refused: RefusedCalls::new(Arc::<Audited>::default()),
        };
        Self {
            dispatcher: Dispatcher::start(providers).unwrap(),
            state,
            worker: CallerProcess {
                kind: "worker".to_owned(),
                pid: 7,
            },
            host,
            _directory: directory,
        }
    }

    /// The worker calls. What it waits on for the answer.
    fn call(&mut self, request: impl Into<ServiceRequest>) -> MessageSocket {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        ours.set_timeout(PATIENCE).unwrap();
        let theirs = theirs.as_fd().try_clone_to_owned().unwrap();
        let until = monotonic() + PATIENCE;
        let call = ServiceCall {
            id: 1,
            deadline_ms: u64::try_from(until.as_millis()).unwrap(),
            request: request.into(),
        };
        let from = self.worker.clone();
        self.dispatcher
            .serve(ForwardedCall { from, call }, vec![theirs]);
        ours
    }

    /// The host proves its key on a connection of its own.
    fn proved(&mut self) -> ConnectionId {
        let connection = ConnectionId::new();
        let session = connection.to_string().into_bytes();
        let proof = host_proof(&self.host, &session, "join");
        let answer = self.call(about(connection, NodesQuestion::Prove(proof)));
        let answer = answer.receive().unwrap().unwrap().bytes;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("db1"), "{answer}");
        connection
    }

    fn announcement(&self) -> PeersRequest {
        PeersRequest::Announce(Announcement {
            address: Some("a.example.test:3022".to_owned()),
            key: self.host.public_key().clone(),
        })
    }

    /// The worker exits, and another one takes its place.
    fn exits(&mut self) {
        self.dispatcher.forget(&self.worker);
        self.worker.pid += 1;
    }

    /// Waits until everything is answered; nothing of the worker is in the state then, nor later.
    fn leave_nothing(self) {
        let Self {
            dispatcher, state, ..
        } = self;
        let nodes = Arc::clone(&dispatcher.providers.nodes);
        dispatcher.finish(PATIENCE);
        let left = || {
            (
                state.nodes().tunnels().unwrap(),
                state.proxies().list().unwrap(),
            )
        };
        assert_eq!(left(), (Vec::new(), Vec::new()));
        nodes.tick_at(monotonic() + Duration::from_secs(61));
        assert_eq!(left(), (Vec::new(), Vec::new()));
    }
}

fn about(connection: ConnectionId, ask: NodesQuestion) -> NodesRequest {
    NodesRequest {
        connection,
        client: "10.0.0.5:50000".parse().unwrap(),
        ask,
    }
}

#[test]
fn a_tunnel_that_is_reported_meanwhile_is_none() {
    let mut services = Services::new();
    for _ in 0..30 {
        let connection = services.proved();
        drop(services.call(about(connection, NodesQuestion::Tunnel(true))));
        drop(services.call(services.announcement()));
        services.exits();
    }
    services.leave_nothing();
}

/// Their turn comes when the process is gone.
#[test]
fn what_waits_for_a_thread_is_not_answered_any_more() {
    let mut services = Services::new();
    let (release, held) = channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    for (service, pool) in &services.dispatcher.pools {
        for _ in 0..service.at_once() {
            let held = Arc::clone(&held);
            assert!(pool.run(move || {
                let _released = held.lock().unwrap().recv();
            }));
        }
    }
    let announced = services.call(services.announcement());
    services.exits();
    drop(release);
    assert!(announced.receive().unwrap().is_none());
    services.leave_nothing();
}

#[test]
fn passwords_of_browsers_have_a_line_of_their_own() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(threads(Service::BrowserPasswords) <= (processors / 2).max(1));
    let mut services = Services::new();
    let (release, held) = channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let pools = &services.dispatcher.pools;
    let hashes = |(service, _): &&(Service, ThreadPool)| *service == Service::BrowserPasswords;
    let (_, pool) = pools.iter().find(hashes).unwrap();
    for _ in 0..Service::BrowserPasswords.at_once() {
        let held = Arc::clone(&held);
        assert!(pool.run(move || {
            let _released = held.lock().unwrap().recv();
        }));
    }
    let client = "203.0.113.7:50000".parse().unwrap();
    let text = || SecretText::new(String::new());
    let signs_in = services.call(BrowserPasswordRequest {
        client,
        ask: BrowserPasswordQuestion::SignIn {
            name: text(),
            password: text(),
            code: text(),
        },
    });
    let asks = services.call(BrowserSessionRequest {
        client,
        token: text(),
        ask: BrowserSessionQuestion::Who,
    });
    let answer = |socket: MessageSocket| {
        let bytes = socket.receive().unwrap().unwrap().bytes;
        String::from_utf8(bytes).unwrap()
    };
    assert!(answer(asks).contains("no-sign-in"));
    drop(release);
    assert!(answer(signs_in).contains("no-sign-in"));
}
