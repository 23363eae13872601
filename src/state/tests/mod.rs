//! The state, on both databases.

mod authorizations;
mod contention;
mod copies;
mod encrypted;
mod faults;
mod ledger;
mod nodes;
mod people;
mod plans;
mod schema;

use uuid::Uuid;

use super::{Heartbeat, JoinedNode, NewUser, RegisteredKey, State, Token, User};
use crate::model::{NodeId, TunnelRule};
use crate::state::testing::NOW;

/// Adds a user.
fn user(state: &State, name: &str) -> User {
    let new = NewUser {
        name: name.parse().unwrap(),
        roles: vec!["dba".to_owned()],
        logins: None,
        created: NOW,
    };
    state.users().add(new).unwrap()
}

/// A key of a user that has this fingerprint.
fn key(user: &User, fingerprint: &str) -> RegisteredKey {
    RegisteredKey {
        user: user.id,
        fingerprint: fingerprint.to_owned(),
        line: format!("ssh-ed25519 {fingerprint}"),
        comment: "laptop".to_owned(),
        registered: NOW,
        used: None,
    }
}

/// A token that is new, for any names.
fn token(hash: &str, uses: u64) -> Token {
    Token {
        id: Uuid::now_v7(),
        hash: hash.to_owned(),
        names: Vec::new(),
        labels: vec!["env=prod".parse().unwrap()],
        tunnel: TunnelRule::Allowed,
        uses,
        created: NOW,
        expires: NOW + 60,
        created_by: "root".to_owned(),
    }
}

/// A host that joins under this name, with a key of its own.
fn node(name: &str) -> JoinedNode {
    let id = NodeId::new();
    JoinedNode {
        id,
        name: name.to_owned(),
        names: vec![name.to_owned()],
        key: format!("ssh-ed25519 {id}"),
        fingerprint: format!("SHA256:{id}"),
        token: Uuid::nil(),
        forced_labels: vec!["env=prod".parse().unwrap()],
        labels: vec!["env=prod".parse().unwrap(), "role=db".parse().unwrap()],
        tunnel: TunnelRule::Allowed,
        address: "10.0.0.5".to_owned(),
        port: 22,
        joined: NOW,
        certificate: None,
        lock: None,
        heartbeat: Some(Heartbeat {
            at: NOW,
            ..Heartbeat::default()
        }),
    }
}
