//! Sign-ins for tests.

use uuid::Uuid;

use super::{ConfirmedSignIn, SignIn};
use crate::cert::testing::NOW;

/// A confirmation for this person that began a minute ago and lasts twelve hours, without roles, for
/// the logins `alice` and `deploy`.
pub(crate) fn confirmed(name: &str) -> ConfirmedSignIn {
    ConfirmedSignIn {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        roles: Vec::new(),
        logins: Some(["alice", "deploy"].map(|name| name.parse().unwrap()).into()),
        since: NOW - 60,
        until: NOW - 60 + 12 * 3600,
        known_changes: 0,
    }
}

/// The same, with this key.
pub(crate) fn sign_in(
    name: &str,
    key: &ssh_key::PublicKey,
    change: impl FnOnce(&mut ConfirmedSignIn),
) -> SignIn {
    let mut confirmed = confirmed(name);
    change(&mut confirmed);
    SignIn::new(confirmed, key.key_data().clone(), NOW).unwrap()
}
