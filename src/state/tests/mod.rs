//! The state, on both databases.

mod authorizations;
mod browser_sessions;
mod contention;
mod copies;
mod encrypted;
mod faults;
mod ledger;
mod nodes;
mod people;
mod plans;
mod schema;

use super::{NewUser, RegisteredKey, State, Token, User};
use crate::state::testing::{self, NOW, node};

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
    testing::token(hash, uses, NOW + 60)
}
