//! Which keys people can sign in with.

use ssh_key::{HashAlg, PublicKey};

use super::context::{Context, Unavailable};
use super::conversation::Named;
use super::refusal::Refused;
use crate::cert::{PresentedKey, fit_to_sign};
use crate::state::{RegisteredKey, StateError, User};

/// Most keys of one person.
pub(super) const MAX_KEYS: usize = 32;

/// A plain key that is strong enough, from its encoding (RFC 4253 section 6.6).
pub(super) fn fit(blob: &[u8]) -> Result<PublicKey, Refused> {
    let presented = PresentedKey::decode(blob).map_err(Refused::unfit_key)?;
    fit_presented(&presented)
}

/// The same for one that was decoded.
pub(super) fn fit_presented(presented: &PresentedKey) -> Result<PublicKey, Refused> {
    match presented {
        PresentedKey::Plain(key) => fit_to_sign(key.clone()).map_err(Refused::unfit_key),
        PresentedKey::Certificate(_) => Err(Refused::unfit_key("it is a certificate")),
    }
}

/// SHA-256, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The person who has registered a key, unless the person is locked.
pub(super) fn registered_by(
    context: &Context,
    fingerprint: &str,
) -> Result<Option<User>, Unavailable> {
    let found = context.state.keys().of_fingerprint(fingerprint)?;
    let user = found.map(|(user, _)| user);
    Ok(user.filter(|user| user.locked.is_none()))
}

/// Registers a key for a person; whether it is new.
pub(super) fn register(
    context: &Context,
    person: &Named,
    key: &PublicKey,
) -> Result<Result<bool, Refused>, Unavailable> {
    let keys = context.state.keys();
    let fingerprint = fingerprint(key);
    let theirs = keys.of_user(person.id)?;
    if theirs.iter().any(|one| one.fingerprint == fingerprint) {
        return Ok(Ok(false));
    }
    if theirs.len() >= MAX_KEYS {
        return Ok(Err(Refused::too_many_keys(MAX_KEYS)));
    }
    match keys.register(&registration(person, key, context.now())) {
        Ok(()) => Ok(Ok(true)),
        Err(StateError::KeyTaken(_)) => Ok(Err(Refused::key_of_another())),
        Err(StateError::NoSuchUser) => Ok(Err(Refused::locked())),
        Err(error) => Err(error.into()),
    }
}

/// A key as the state keeps it. `now` is in seconds since the epoch.
pub(super) fn registration(person: &Named, key: &PublicKey, now: u64) -> RegisteredKey {
    RegisteredKey {
        user: person.id,
        fingerprint: fingerprint(key),
        line: line(key),
        comment: String::new(),
        registered: now,
        used: None,
    }
}

/// Type and key, without the comment.
fn line(key: &PublicKey) -> String {
    PublicKey::from(key.key_data().clone())
        .to_openssh()
        .unwrap_or_default()
}
