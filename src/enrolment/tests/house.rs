//! A service with a state and CAs of its own, and hosts that ask it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssh_key::{Certificate, Fingerprint, HashAlg, PrivateKey, PublicKey};
use tempfile::TempDir;

use crate::audit::testing::Audited;
use crate::ca::{CaError, IssueError};
use crate::cert::testing::ed25519;
use crate::cert::{HostRequest, PresentedKey, random_serial, successor_template, user_ca_template};
use crate::enrolment::testing::{host_proof, root};
use crate::enrolment::{
    EnrolmentParts, EnrolmentService, EnrolmentSettings, IssuesForHosts, NewToken, NodeAdmin,
    TokenAdmin,
};
use crate::ipc::{
    KnownNode, NodeInstallation, NodeRefusal, NodeReport, NodesAnswer, NodesQuestion, NodesRequest,
    PublicCaKeys, SecretText, SignedProof,
};
use crate::metrics::AuthMeters;
use crate::model::{ClusterName, ConnectionId, TunnelRule, UserName};
use crate::state::testing::{NOW, state_at};
use crate::state::{JoinedNode, State};

/// How long certificates are valid here.
pub(super) const TTL: u64 = 30 * 86_400;

/// What somebody else does to this state.
type Meanwhile = (State, fn(&State));

/// CAs that keep what they are asked for.
#[derive(Debug)]
pub(super) struct FakeCas {
    user: PrivateKey,
    /// The keys of the host CA; the last one signs.
    host: Mutex<Vec<PrivateKey>>,
    /// Fingerprints and key ids.
    pub(super) revoked: Mutex<BTreeSet<String>>,
    pub(super) issued: Mutex<Vec<HostRequest>>,
    /// Whether the key does not sign.
    pub(super) is_away: Mutex<bool>,
    pub(super) now: Mutex<u64>,
    /// What an administrator does while the key signs.
    pub(super) meanwhile: Mutex<Option<Meanwhile>>,
}

fn cluster() -> ClusterName {
    "example.com".parse().unwrap()
}

impl FakeCas {
    fn new() -> Self {
        Self {
            user: ed25519(),
            host: Mutex::new(vec![ed25519()]),
            revoked: Mutex::default(),
            issued: Mutex::default(),
            is_away: Mutex::default(),
            now: Mutex::new(NOW),
            meanwhile: Mutex::default(),
        }
    }

    /// Another key of the host CA signs from now on.
    pub(super) fn rotate(&self) {
        self.host.lock().unwrap().push(ed25519());
    }

    pub(super) fn issued(&self) -> usize {
        self.issued.lock().unwrap().len()
    }
}

impl IssuesForHosts for FakeCas {
    fn issue(&self, request: HostRequest) -> Result<Certificate, IssueError> {
        let key_id = request.names[0].to_string();
        if *self.is_away.lock().unwrap() {
            let reason = None;
            return Err(IssueError::KeyIdRevoked { key_id, reason });
        }
        self.issued.lock().unwrap().push(request.clone());
        let template = request.template(random_serial(), *self.now.lock().unwrap());
        if let Some((state, act)) = self.meanwhile.lock().unwrap().take() {
            act(&state);
        }
        let host = self.host.lock().unwrap();
        Ok(template.unwrap().sign(host.last().unwrap()).unwrap())
    }

    fn keys(&self) -> PublicCaKeys {
        let host = self.host.lock().unwrap();
        let host: Vec<_> = host.iter().map(|key| key.public_key().clone()).collect();
        PublicCaKeys {
            user: vec![self.user.public_key().clone()],
            signs: host.last().unwrap().clone(),
            host,
        }
    }

    fn is_revoked(&self, key_id: &str, key: &Fingerprint) -> Result<bool, CaError> {
        let revoked = self.revoked.lock().unwrap();
        Ok(revoked.contains(key_id) || revoked.contains(&key.to_string()))
    }

    fn successors(&self) -> Vec<String> {
        let host = self.host.lock().unwrap();
        let named = |pair: &[PrivateKey]| {
            let template = successor_template(&cluster(), pair[1].public_key());
            template
                .unwrap()
                .sign(&pair[0])
                .unwrap()
                .to_openssh()
                .unwrap()
        };
        host.windows(2).map(named).collect()
    }

    fn user_ca_proofs(&self) -> Result<Vec<String>, CaError> {
        if *self.is_away.lock().unwrap() {
            return Err(CaError::None(PathBuf::new()));
        }
        let host = self.host.lock().unwrap();
        let template = user_ca_template(&cluster(), self.user.public_key()).unwrap();
        let proof = template.sign(host.last().unwrap()).unwrap();
        Ok(vec![proof.to_openssh().unwrap()])
    }
}

/// A service with a state of its own.
pub(super) struct NodeHouse {
    directory: Arc<TempDir>,
    pub(super) state: State,
    pub(super) audit: Arc<Audited>,
    pub(super) meters: Arc<AuthMeters>,
    pub(super) cas: Arc<FakeCas>,
    pub(super) service: EnrolmentService,
    pub(super) now: u64,
}

impl NodeHouse {
    pub(super) fn new() -> Self {
        let directory = crate::sys::fs::private_tempdir();
        Self::in_directory(Arc::new(directory), Arc::new(FakeCas::new()), NOW)
    }

    /// The same, so many seconds later, after a restart.
    pub(super) fn later(&self, seconds: u64) -> Self {
        let (directory, cas) = (Arc::clone(&self.directory), Arc::clone(&self.cas));
        Self::in_directory(directory, cas, self.now + seconds)
    }

    fn in_directory(directory: Arc<TempDir>, cas: Arc<FakeCas>, now: u64) -> Self {
        let state = state_at(directory.path(), now);
        *cas.now.lock().unwrap() = now;
        let (audit, meters) = (Arc::<Audited>::default(), Arc::<AuthMeters>::default());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let parts = EnrolmentParts {
            state: state.clone(),
            audit: Arc::<Audited>::clone(&audit),
            issuer: Arc::<FakeCas>::clone(&cas),
            settings: EnrolmentSettings {
                cluster: cluster(),
                node_ttl: Duration::from_secs(TTL),
                proxy_names: names(&["example.com", "proxy.example.com", "localhost"]),
                file_names: names(&["static", "10.0.0.9", "static.internal"]),
            },
            meters: Arc::<AuthMeters>::clone(&meters),
        };
        Self {
            directory,
            state,
            audit,
            meters,
            cas,
            service: EnrolmentService::new(parts),
            now,
        }
    }

    pub(super) fn admin(&self) -> NodeAdmin<'_> {
        NodeAdmin::new(&self.state, &*self.audit, root())
    }

    /// A token for one host under any name.
    pub(super) fn token(&self) -> String {
        self.token_with(|_| {})
    }

    pub(super) fn token_with(&self, change: impl FnOnce(&mut NewToken)) -> String {
        let mut new = NewToken {
            names: Vec::new(),
            labels: Vec::new(),
            tunnel: TunnelRule::No,
            uses: 1,
            ttl: Duration::from_secs(1_800),
        };
        change(&mut new);
        let admin = TokenAdmin::new(&self.state, &*self.audit, root());
        let issued = admin.add(new, &cluster());
        issued.unwrap().token.to_string()
    }

    /// A host with a key of its own.
    pub(super) fn host(&self) -> HouseHost<'_> {
        self.host_with(ed25519())
    }

    /// A connection of a host with this key.
    pub(super) fn host_with(&self, key: PrivateKey) -> HouseHost<'_> {
        let connection = ConnectionId::new();
        HouseHost {
            house: self,
            caller: 1,
            connection,
            address: "10.0.0.77:50000".parse().unwrap(),
            session: connection.to_string().into_bytes(),
            key,
        }
    }

    /// A host that has joined under this name.
    pub(super) fn joined(&self, name: &str) -> HouseHost<'_> {
        let host = self.host();
        host.proved();
        installed(host.join(&self.token(), &named(name)));
        host
    }

    pub(super) fn node(&self, name: &str) -> JoinedNode {
        self.state.nodes().by_name(name).unwrap().unwrap()
    }

    /// The reasons of refusals that were audited.
    pub(super) fn refused(&self) -> Vec<String> {
        let events = self.audit.0.lock().unwrap();
        let events = events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap());
        let reasons = events.filter(|event| event.get("what").is_some());
        reasons
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A host on a connection of its own.
pub(super) struct HouseHost<'h> {
    pub(super) house: &'h NodeHouse,
    pub(super) caller: u64,
    pub(super) connection: ConnectionId,
    pub(super) address: SocketAddr,
    pub(super) session: Vec<u8>,
    pub(super) key: PrivateKey,
}

impl HouseHost<'_> {
    pub(super) fn ask(&self, ask: NodesQuestion) -> NodesAnswer {
        let request = NodesRequest {
            connection: self.connection,
            client: self.address,
            ask,
        };
        self.house.service.answer(self.caller, &request)
    }

    pub(super) fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) fn proof(&self) -> SignedProof {
        self.proof_as(UserName::JOIN)
    }

    /// A proof for this user name.
    pub(super) fn proof_as(&self, user: &str) -> SignedProof {
        host_proof(&self.key, &self.session, user)
    }

    pub(super) fn prove(&self) -> NodesAnswer {
        self.ask(NodesQuestion::Prove(self.proof()))
    }

    /// Proves its key; gives the node.
    pub(super) fn proved(&self) -> Option<KnownNode> {
        match self.prove() {
            NodesAnswer::Proved(node) => node,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn join(&self, token: &str, report: &NodeReport) -> NodesAnswer {
        self.ask(NodesQuestion::Join {
            token: SecretText::new(token.to_owned()),
            report: report.clone(),
        })
    }

    pub(super) fn heartbeat(&self, report: &NodeReport) -> NodesAnswer {
        self.ask(NodesQuestion::Heartbeat(report.clone()))
    }
}

/// A report of a host that wants this name.
pub(super) fn named(name: &str) -> NodeReport {
    NodeReport {
        names: vec![name.to_owned()],
        ..report()
    }
}

/// A report of a host that wants no name.
pub(super) fn report() -> NodeReport {
    NodeReport {
        addresses: vec!["10.0.0.5".to_owned()],
        port: 22,
        sshd: "OpenSSH_9.2p1".to_owned(),
        uptime: 60,
        clock: NOW,
        ..NodeReport::default()
    }
}

pub(super) fn installed(answer: NodesAnswer) -> NodeInstallation {
    match answer {
        NodesAnswer::Installation(installation) => installation,
        other => panic!("{other:?}"),
    }
}

/// The certificate of an answer.
pub(super) fn certificate(installation: &NodeInstallation) -> Certificate {
    let line = installation.certificate.as_ref().expect("a certificate");
    match PresentedKey::from_line(line).unwrap() {
        PresentedKey::Certificate(certificate) => *certificate,
        PresentedKey::Plain(key) => panic!("{key:?}"),
    }
}

pub(super) fn refusal(answer: NodesAnswer) -> NodeRefusal {
    match answer {
        NodesAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn reason(answer: NodesAnswer) -> String {
    refusal(answer).reason
}

/// A key without its comment, in one line.
pub(super) fn line(key: &PublicKey) -> String {
    PublicKey::from(key.key_data().clone())
        .to_openssh()
        .unwrap()
}
