//! Hosts and administrators, for tests.

use ::signature::Signer as _;
use ssh_encoding::Encode as _;
use ssh_key::{Algorithm, PrivateKey};

use crate::cert::proof::{public_key_request, signed_data};
use crate::cert::testing::ed25519;
use crate::ipc::SignedProof;
use crate::model::TunnelRule;
use crate::state::{JoinedNode, testing};
use crate::sys::account::Actor;

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

/// A node with a key of its own, which has not reported yet.
pub(crate) fn node(name: &str) -> JoinedNode {
    let key = ed25519().public_key().clone();
    JoinedNode {
        key: key.to_openssh().unwrap(),
        fingerprint: key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
        forced_labels: Vec::new(),
        labels: Vec::new(),
        tunnel: TunnelRule::No,
        heartbeat: None,
        ..testing::node(name)
    }
}
