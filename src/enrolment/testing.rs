//! Tokens and nodes in a state of their own, for tests.

use std::ops::Deref;
use std::sync::Mutex;

use ::signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::{Algorithm, PrivateKey};
use tempfile::TempDir;
use uuid::Uuid;

use crate::audit::{AuditError, AuditEvent, AuditSink};
use crate::cert::proof::{public_key_request, signed_data};
use crate::cert::testing::ed25519;
use crate::ipc::SignedProof;
use crate::model::{NodeId, TunnelRule};
use crate::state::{JoinedNode, State, StatePlace};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// The time of all tests here.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A new state that nobody else has, in a directory that goes away with it.
pub(crate) struct OwnState {
    state: State,
    _directory: TempDir,
}

impl Deref for OwnState {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// A new state that nobody else has.
pub(crate) fn state() -> OwnState {
    let directory = crate::sys::fs::private_tempdir();
    OwnState {
        state: state_at(directory.path(), NOW),
        _directory: directory,
    }
}

/// The state in a directory, at a time.
pub(crate) fn state_at(directory: &std::path::Path, now: u64) -> State {
    let place = StatePlace::Sqlite(directory.join("state.db"));
    State::open(&place, Clock::Fixed(now)).unwrap()
}

/// An administrator.
pub(crate) fn root() -> Actor {
    Actor::new("root".to_owned(), 0, None)
}

/// What a host with this key signs to prove it, for a session and a user name.
pub(crate) fn host_proof(key: &PrivateKey, session: &[u8], user: &str) -> SignedProof {
    let blob = key.public_key().to_bytes().unwrap();
    let algorithm = match key.algorithm() {
        Algorithm::Rsa { .. } => "rsa-sha2-512".to_owned(),
        other => other.to_string(),
    };
    let request = public_key_request(user, &algorithm, &blob, None, true);
    let signature = key.key_data().try_sign(&signed_data(session, &request));
    SignedProof {
        session: session.to_vec(),
        algorithm,
        signature: signature.unwrap().encode_vec().unwrap(),
        key: blob,
        host_key: Vec::new(),
    }
}

/// A node with a key of its own.
pub(crate) fn node(name: &str) -> JoinedNode {
    let key = ed25519().public_key().clone();
    JoinedNode {
        id: NodeId::new(),
        name: name.to_owned(),
        names: vec![name.to_owned()],
        key: key.to_openssh().unwrap(),
        fingerprint: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
        token: Uuid::nil(),
        forced_labels: Vec::new(),
        labels: Vec::new(),
        tunnel: TunnelRule::No,
        address: "10.0.0.5".to_owned(),
        port: 22,
        joined: NOW,
        certificate: None,
        lock: None,
        heartbeat: None,
    }
}

/// Keeps what is audited.
#[derive(Debug, Default)]
pub(crate) struct Audited(pub(crate) Mutex<Vec<AuditEvent>>);

impl Audited {
    /// The names of the events, in their order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let events = self.0.lock().unwrap();
        events.iter().map(|event| event.kind().name()).collect()
    }
}

impl AuditSink for Audited {
    fn emit(&self, event: &AuditEvent) -> Result<(), AuditError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}
