//! A proxy in memory, for tests: its parts as `worker` puts them together, with real certificates and
//! the real `wire` on both sides, and hosts, agents and clients at the other ends of in-memory streams.
//!
//! No socket, no other process, and with a paused clock no waiting.

pub(crate) mod agent;
pub(crate) mod client;
pub(crate) mod host;
pub(crate) mod keyed_user;
pub(crate) mod people;
pub(crate) mod test_nodes;
pub(crate) mod test_people;
pub(crate) mod user;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ssh_key::{Certificate, PrivateKey, PublicKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::user::TestUser;
use super::budget::Budget;
use super::channel::{ChannelStream, Piece, channel};
use super::compute::ComputeQueue;
use super::criteria::Criteria;
use super::expiry_warnings::HostExpiry;
use super::front_auth::FrontAuth;
use super::host_certificate::HostCertificates;
use super::outer::ClientStream;
use super::policy_monitor::PolicySource;
use super::refusal::Origin;
use super::route::Router;
use super::services::{InnerServices, OuterServices};
use super::settings::{CurrentSettings, Settings};
use super::sign_in_changes::SignInChanges;
use super::timers::TimeLimits;
use super::trust::{CurrentTrust, Trust};
use super::tunnels::{TunnelGuard, TunnelOpener, Tunnels};
use super::upstream::{Attempts, Dial, Dialler, HostDial, HostKeys};
use crate::access::testing::sign_in;
use crate::access::{
    ConfirmedSignIn, Identity, InnerProof, LoginPermit, Permissions, Permit, Policy,
};
use crate::audit::AuditLog;
use crate::ca::{
    CaError, HostCertIssuer, RevocationLog, RevocationStore as _, Revocations, Revoked, SignsHosts,
};
use crate::cert::testing::{CertSpec, NOW, ed25519};
use crate::cert::{CertTemplate, TrustedKeys, VerifiedUserCert, verify_user};
use crate::dns::Resolver;
use crate::ipc::{SignInChange, SignInEnd, SignInNews, UserAccess};
use crate::metrics::Metrics;
use crate::model::{ClusterName, ConnectionId, HostAddress, NodeId, Serial, TunnelRule};
use crate::net::HandshakeQueue;
use crate::nodes::{Inventory, Node};
use crate::recording;
use crate::session::{self, RecordingSettings, Registry};
use crate::sys::clock::Clock;
use crate::sys::fs::private_tempdir;

/// How long a client may take to authenticate.
pub(crate) const GRACE: Duration = Duration::from_secs(120);
/// How long the way to a host may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that a host may have unauthenticated.
pub(crate) const MAX_STARTING: u32 = 8;
/// The address of the one node, `db1`.
pub(crate) const DB1: HostAddress = HostAddress::Tcp(DB1_SOCKET);
/// The same, for what knows only TCP.
pub(crate) const DB1_SOCKET: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5)), 22);
/// Where clients connect to.
pub(crate) const LISTENER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 200)), 3023);
/// Where the client is.
pub(crate) const CLIENT: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 40_000);

/// The parts of a proxy, and what a test may change while they are in use.
pub(crate) struct SshFixture {
    directory: TempDir,
    pub(crate) user_ca: PrivateKey,
    pub(crate) host_ca: Arc<TestHostCa>,
    /// The key of alice, whose certificate has the logins `alice` and `deploy`.
    pub(crate) alice: PrivateKey,
    pub(crate) trust: CurrentTrust,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) revocations: watch::Sender<Arc<Revocations>>,
    sign_in_changes: watch::Sender<SignInChanges>,
    pub(crate) stopping: watch::Sender<Option<Instant>>,
    pub(crate) tunnels: Tunnels,
    pub(crate) audit: AuditLog,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl SshFixture {
    /// A proxy whose policy lets every user go everywhere, with the node `db1`.
    pub(crate) fn new() -> Self {
        Self::at(Clock::Fixed(NOW))
    }

    /// The same at this time.
    pub(crate) fn at(clock: Clock) -> Self {
        let directory = private_tempdir();
        let (user_ca, host_ca) = (ed25519(), Arc::new(TestHostCa::new()));
        let data = crate::model::DataDir::new(directory.path().join("data"));
        let audit = AuditLog::open(&data, cluster(), clock).unwrap();
        let trust = Trust {
            users: TrustedKeys::from(vec![user_ca.public_key().clone()]),
            hosts: TrustedKeys::from(vec![host_ca.key.public_key().clone()]),
            mint: HostCertIssuer::new(host_ca.clone()).unwrap(),
        };
        Self {
            user_ca,
            host_ca,
            alice: ed25519(),
            trust: CurrentTrust::new(trust),
            settings: watch::Sender::new(Arc::new(settings(directory.path()))),
            revocations: watch::Sender::default(),
            sign_in_changes: watch::Sender::default(),
            stopping: watch::Sender::new(None),
            tunnels: Tunnels::default(),
            audit,
            metrics: Arc::default(),
            clock,
            directory,
        }
    }

    /// Puts other settings in force.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.settings.borrow());
        change(&mut settings);
        self.settings.send_replace(Arc::new(settings));
    }

    /// Puts the policy and the nodes of a configuration in force.
    pub(crate) fn configure(&self, text: &str) {
        let text = format!("cluster_name: example.test\n{text}");
        let loaded = crate::config::parse(Path::new("f"), &text, Some(Path::new("/data")));
        let config = loaded.unwrap().config;
        self.change(|settings| {
            settings.policy = config.policy();
            settings.inventory = Inventory::new(cluster(), config.nodes.clone()).unwrap();
        });
    }

    /// Lets these hosts join, instead of those that joined before.
    pub(crate) fn join(&self, joined: Vec<Node>) {
        self.change(|settings| {
            let (inventory, clashes) = settings.inventory.with_joined(joined);
            assert!(clashes.is_empty(), "{clashes:?}");
            settings.inventory = inventory;
        });
    }

    /// Lets [`app`] join; its id.
    pub(crate) fn join_app(&self, tunnel: TunnelRule) -> NodeId {
        let node = app(tunnel);
        let id = node.id.unwrap();
        self.join(vec![node]);
        id
    }

    /// The node opens a tunnel, which opens no stream.
    pub(crate) fn open_tunnel(&self, node: NodeId) -> TunnelGuard {
        self.tunnels.open(node, TunnelOpener::new().0)
    }

    /// Revokes this, for the reason "stolen".
    pub(crate) fn revoke(&self, what: Revoked) {
        let log = RevocationLog::new(
            &crate::model::DataDir::new(self.directory.path().join("data")),
            self.clock,
        );
        log.revoke(vec![what], "root", Some("stolen")).unwrap();
        self.revocations.send_replace(Arc::new(log.read().unwrap()));
    }

    /// Revokes a certificate of the user CA, for the reason "stolen".
    pub(crate) fn revoke_serial(&self, serial: u64) {
        self.revoke(Revoked::Serial {
            serial: Serial::new(serial).unwrap(),
            ca_keys: Vec::new(),
        });
    }

    /// Announces the end of a sign-in.
    pub(crate) fn end_sign_in(&self, id: Uuid, reason: SignInEnd) {
        self.change_sign_in(id, SignInNews::Ended(reason));
    }

    /// Announces that the user of a sign-in has these roles and logins.
    pub(crate) fn change_access(&self, id: Uuid, access: UserAccess) {
        self.change_sign_in(id, SignInNews::Access(access));
    }

    fn change_sign_in(&self, id: Uuid, what: SignInNews) {
        let change = SignInChange {
            number: 1,
            id,
            what,
        };
        self.sign_in_changes.send_modify(|changes| {
            changes.add([change]);
        });
    }

    /// The events of the audit log, as its lines.
    pub(crate) fn audited(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.audit.path()).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The names of the audit events, with the reasons of refusals.
    pub(crate) fn audited_briefly(&self) -> Vec<String> {
        let brief = |event: &serde_json::Value| {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("event"), text("reason"))
                .trim_end()
                .to_owned()
        };
        self.audited().iter().map(brief).collect()
    }

    pub(crate) fn current_settings(&self) -> CurrentSettings {
        CurrentSettings::new(self.settings.subscribe())
    }

    pub(crate) fn router(&self) -> Router {
        let resolver = Resolver::from_system().unwrap();
        let resolver = (resolver, self.tunnels.clone());
        Router::new(cluster(), self.current_settings(), vec![LISTENER], resolver)
    }

    fn criteria(&self) -> Criteria {
        Criteria {
            freshness: crate::ssh::Freshness::default(),
            trust: self.trust.clone(),
            revocations: self.revocations.subscribe(),
            settings: self.current_settings(),
            clock: self.clock,
        }
    }

    pub(crate) fn auth(&self) -> FrontAuth {
        FrontAuth::new(self.criteria())
    }

    pub(crate) fn certificates(&self) -> HostCertificates {
        HostCertificates::new(self.trust.clone(), self.clock)
    }

    pub(crate) fn host_keys(&self) -> HostKeys {
        HostKeys::new(self.criteria())
    }

    pub(crate) fn policy(&self) -> PolicySource {
        PolicySource::new(
            (
                self.revocations.subscribe(),
                self.sign_in_changes.subscribe(),
            ),
            self.current_settings(),
            self.stopping.subscribe(),
            Arc::new(self.router()),
            self.audit.clone(),
            self.clock,
        )
    }

    pub(crate) fn attempts<D: Dial>(&self, dial: D) -> Attempts<D> {
        Attempts::new(
            dial,
            self.host_keys(),
            self.current_settings(),
            ComputeQueue::new(1),
            Arc::clone(&self.metrics),
        )
    }

    pub(crate) fn dialler<D: Dial>(&self, dial: D) -> Dialler<D> {
        Dialler::new(
            self.attempts(dial),
            Arc::new(self.router()),
            self.current_settings(),
            HandshakeQueue::at_hosts(MAX_STARTING),
            HostExpiry::new(self.audit.clone(), Arc::clone(&self.metrics), self.clock),
            Arc::clone(&self.metrics),
        )
    }

    pub(crate) fn inner<D: Dial>(&self, dial: D) -> InnerServices<D> {
        InnerServices {
            router: Arc::new(self.router()),
            dialler: self.dialler(dial),
            certificates: self.certificates(),
            auth: self.auth(),
            policy: self.policy(),
            settings: self.current_settings(),
            registry: Registry::default(),
            compute: ComputeQueue::new(1),
            metrics: Arc::clone(&self.metrics),
            audit: self.audit.clone(),
            clock: self.clock,
        }
    }

    /// What outer connections share. No host is dialled in memory from there.
    pub(crate) fn outer(&self) -> OuterServices {
        OuterServices {
            auth: self.auth(),
            people: None,
            nodes: None,
            peers: None,
            certificates: self.certificates(),
            policy: self.policy(),
            settings: self.current_settings(),
            budget: Budget::new(None),
            compute: ComputeQueue::new(1),
            metrics: Arc::clone(&self.metrics),
            audit: self.audit.clone(),
            inner: Arc::new(
                self.inner(HostDial::new(self.current_settings(), self.tunnels.clone())),
            ),
        }
    }

    /// Alice, who logs in as `deploy`.
    pub(crate) fn user(&self) -> TestUser {
        TestUser {
            login: "deploy",
            key: self.alice.clone(),
            certificate: Some(self.alices(|_| {})),
            answer: "123456",
            pause: Duration::ZERO,
        }
    }

    /// A certificate for alice's key.
    pub(crate) fn alices(&self, change: impl FnOnce(&mut CertSpec)) -> Certificate {
        CertSpec::user(&self.alice).with(change).sign(&self.user_ca)
    }

    /// Alice, as her usual certificate proves her.
    pub(crate) fn identity(&self) -> Identity {
        Identity::new(self.verified(&self.alices(|_| {})))
    }

    /// Alice, who has signed in with her key.
    pub(crate) fn signed_in(&self, change: impl FnOnce(&mut ConfirmedSignIn)) -> Identity {
        Identity::new(sign_in("alice", self.alice.public_key(), change))
    }

    /// A certificate for one login, as it is made for a person who has signed in.
    pub(crate) fn minted(&self, login: &str) -> VerifiedUserCert {
        self.verified(&self.alices(|spec| spec.principals = vec![login.to_owned()]))
    }

    fn verified(&self, certificate: &Certificate) -> VerifiedUserCert {
        verify_user(certificate, &self.trust.now().users, None, NOW).unwrap()
    }

    /// Alice's permit for a target.
    pub(crate) fn permit(&self, target: &str) -> Permit {
        self.permit_of(&self.identity(), target)
    }

    /// The permit of this person.
    pub(crate) fn permit_of(&self, identity: &Identity, target: &str) -> Permit {
        let name = format!("proxy:{target}");
        self.router().permit(identity, CLIENT, &name).unwrap()
    }

    /// The same, for the login `deploy`.
    pub(crate) fn login_permit(&self, target: &str) -> LoginPermit {
        let permit = self.permit(target);
        let certificate = permit.identity().certificate().unwrap().clone();
        let policy = &self.settings.borrow().policy;
        permit
            .for_login(
                policy,
                InnerProof::Certificate(Box::new(certificate)),
                "deploy".parse().unwrap(),
            )
            .unwrap()
    }
}

impl ClientStream for DuplexStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(LISTENER)
    }

    fn send_at_once(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A host that has joined as `app`, with this rule for tunnels. It reports the address 10.0.0.8.
pub(crate) fn app(tunnel: TunnelRule) -> Node {
    Node {
        name: "app".to_owned(),
        host: "10.0.0.8".to_owned(),
        port: 22,
        id: Some(NodeId::new()),
        tunnel,
        ..Node::default()
    }
}

/// Where a refusal of alice comes from.
pub(crate) fn origin() -> Origin {
    Origin {
        client: CLIENT,
        connection: ConnectionId::new(),
        user: Some("alice".to_owned()),
        login: None,
        target: None,
    }
}

fn cluster() -> ClusterName {
    "example.test".parse().unwrap()
}

fn settings(directory: &Path) -> Settings {
    let db1 = Node {
        name: "db1".to_owned(),
        host: DB1_SOCKET.ip().to_string(),
        port: DB1_SOCKET.port(),
        labels: vec!["env=prod".parse().unwrap()],
        ..Node::default()
    };
    Settings {
        policy: Policy::new("", Permissions::default(), Vec::new(), Vec::new()),
        inventory: Inventory::new(cluster(), vec![db1]).unwrap(),
        recording: RecordingSettings {
            store: crate::store::Recordings::new(directory.join("recordings")),
            policy: session::RecordingPolicy::Strict,
            options: recording::Options { pty_input: false },
        },
        checks_host_keys: true,
        public_addr: None,
        listener_names: Vec::new(),
        egress: None,
        greeting: None,
        login_grace: GRACE,
        connect_timeout: CONNECT_TIMEOUT,
        time: TimeLimits {
            idle: Duration::ZERO,
            ends_with_certificate: false,
            keep_alive_interval: Duration::ZERO,
            keep_alive_count_max: 3,
        },
        drain: Duration::from_secs(60),
    }
}

/// A host CA whose key signs at once, on demand, or not at all.
#[derive(Debug)]
pub(crate) struct TestHostCa {
    pub(crate) key: PrivateKey,
    public: PublicKey,
    is_held: Mutex<bool>,
    released: Condvar,
    is_broken: AtomicBool,
    signatures: AtomicUsize,
}

impl TestHostCa {
    fn new() -> Self {
        let key = ed25519();
        Self {
            public: key.public_key().clone(),
            key,
            is_held: Mutex::new(false),
            released: Condvar::new(),
            is_broken: AtomicBool::new(false),
            signatures: AtomicUsize::new(0),
        }
    }

    /// From now on, the key does not sign.
    pub(crate) fn is_broken(&self, broken: bool) {
        self.is_broken.store(broken, Ordering::SeqCst);
    }

    /// From now on, signatures wait until they are let go.
    pub(crate) fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
        self.released.notify_all();
    }

    /// How many signatures it has been asked for.
    pub(crate) fn signatures(&self) -> usize {
        self.signatures.load(Ordering::SeqCst)
    }
}

impl SignsHosts for TestHostCa {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, template: &CertTemplate) -> Result<Certificate, CaError> {
        self.signatures.fetch_add(1, Ordering::SeqCst);
        let held = self.is_held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(CaError::HostKey(ssh_key::Error::Crypto));
        }
        Ok(template.sign(&self.key)?)
    }

    fn check(&self) -> Result<(), CaError> {
        Ok(())
    }
}

/// A channel of a connection that ends here, and the bytes at its other end. What is said on its stderr
/// goes the same way.
pub(crate) fn memory_channel() -> (ChannelStream, DuplexStream) {
    let wake = Arc::new(Notify::new());
    let (stream, port) = channel(Arc::clone(&wake));
    let (near, far) = duplex(1 << 20);
    tokio::spawn(async move {
        let (mut from, mut to) = split(near);
        let mut buffer = vec![0; 1 << 16];
        let mut is_open = true;
        loop {
            while let Some(piece) = port.next_piece(1 << 16) {
                let (Piece::Data(bytes) | Piece::Stderr(bytes)) = piece;
                if to.write_all(&bytes).await.is_err() {
                    return port.hang_up();
                }
            }
            if port.output_ended() {
                to.shutdown().await.ok();
            }
            if port.pending().finished {
                return;
            }
            tokio::select! {
                () = wake.notified() => {}
                read = from.read(&mut buffer), if is_open => match read {
                    Ok(0) | Err(_) => {
                        is_open = false;
                        port.deliver_eof();
                    }
                    Ok(length) => port.deliver(&buffer[..length]),
                },
            }
        }
    });
    (stream, far)
}
