//! Keys that rotations have replaced or withdrawn: kept beside the others, no longer trusted, until
//! an administrator removes them. The last of them makes a rollback from standby possible.
//!
//! They are called `user_ca_kept_N` and `host_ca_kept_N`, with `.pub` beside each; N is the number of
//! the rotation's move that put it there. If an agent holds the key, there is only the `.pub` file.

use std::collections::BTreeSet;
use std::path::Path;

use ssh_key::PublicKey;

use super::error::CaError;
use super::file_key::{self, KeyPaths};
use super::key::CaKey;
use super::keystore::{Halves, Keystore};
use super::kind::CaKind;
use super::rotation::Which;
use crate::sys::fs::{self, FsError};

/// The numbers of a CA's kept keys, the last one last.
pub(super) fn numbers(keystore: &Keystore<'_>, kind: CaKind) -> Result<Vec<u64>, CaError> {
    let prefix = name(kind, "");
    let directory = keystore.path("");
    let files = std::fs::read_dir(&directory).map_err(FsError::io("read", &directory))?;
    let mut kept = BTreeSet::new();
    for file in files {
        let file = file.map_err(FsError::io("read", &directory))?;
        let name = file.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        let number = name.map(|name| name.strip_suffix(".pub").unwrap_or(name));
        kept.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(kept.into_iter().collect())
}

/// Their public halves.
pub(super) fn public_keys(
    keystore: &Keystore<'_>,
    kind: CaKind,
) -> Result<Vec<PublicKey>, CaError> {
    let kept = numbers(keystore, kind)?.into_iter();
    let keys = kept.map(|number| file_key::read_public(&paths(keystore, kind, number).public));
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    Ok(keys.into_iter().flatten().collect())
}

/// Removes them for good; gives what they were.
pub(super) fn remove(keystore: &Keystore<'_>, kind: CaKind) -> Result<Vec<PublicKey>, CaError> {
    let keys = public_keys(keystore, kind)?;
    for number in numbers(keystore, kind)? {
        let kept = paths(keystore, kind, number);
        fs::remove(&kept.private)?;
        fs::remove(&kept.public)?;
    }
    Ok(keys)
}

/// Puts a key aside, and leaves it where it is, too. Can be done again at any point.
pub(super) fn put_aside(
    keystore: &Keystore<'_>,
    kind: CaKind,
    which: Which,
    number: u64,
) -> Result<(), CaError> {
    link_key(&keystore.paths(kind, which), &paths(keystore, kind, number))
}

/// Refuses a kept key that could not be used.
pub(super) fn check(keystore: &Keystore<'_>, kind: CaKind, number: u64) -> Result<(), CaError> {
    let kept = paths(keystore, kind, number);
    match keystore.read_at(kind, &kept, Halves::Both)? {
        Some(_) => Ok(()),
        None => Err(CaError::PrivateKeyGone {
            path: kept.private,
            public_path: kept.public,
        }),
    }
}

/// The present key is also the one that a rollback takes away.
pub(super) fn make_new_of_old(keystore: &Keystore<'_>, kind: CaKind) -> Result<(), CaError> {
    keystore.remove_new(kind)?;
    link_key(
        &keystore.paths(kind, Which::Old),
        &keystore.paths(kind, Which::New),
    )
}

/// The kept key that is to become the old one and is not in its place yet; `None` once it is.
pub(super) fn coming_back(
    keystore: &Keystore<'_>,
    kind: CaKind,
    number: u64,
    halves: Halves,
) -> Result<Option<CaKey>, CaError> {
    let kept = paths(keystore, kind, number);
    if !kept.private.exists() {
        let Some(public) = file_key::read_public(&kept.public)? else {
            return Ok(None);
        };
        let there = keystore.read(kind, Which::Old, Halves::Public)?;
        if there.is_some_and(|key| key.public().key_data() == public.key_data()) {
            return Ok(None);
        }
    }
    keystore.read_at(kind, &kept, halves)
}

/// Puts a kept key into the old one's place. Can be done again at any point.
pub(super) fn bring_back(
    keystore: &Keystore<'_>,
    kind: CaKind,
    number: u64,
) -> Result<(), CaError> {
    let kept = paths(keystore, kind, number);
    let place = keystore.paths(kind, Which::Old);
    if kept.private.exists() {
        // The public key file belongs to the private one: it is written again from it.
        fs::remove(&place.public)?;
        fs::rename(&kept.private, &place.private)?;
        return Ok(fs::remove(&kept.public)?);
    }
    let Some(public) = file_key::read_public(&kept.public)? else {
        return Ok(());
    };
    let there = keystore.read(kind, Which::Old, Halves::Both)?;
    if there.is_some_and(|key| key.public().key_data() == public.key_data()) {
        return Ok(fs::remove(&kept.public)?);
    }
    // It is in an agent.
    fs::remove(&place.private)?;
    Ok(fs::rename(&kept.public, &place.public)?)
}

fn paths(keystore: &Keystore<'_>, kind: CaKind, number: u64) -> KeyPaths {
    KeyPaths::new(keystore.path(&name(kind, &number.to_string())))
}

fn name(kind: CaKind, number: &str) -> String {
    format!("{kind}_ca_kept_{number}")
}

fn link_key(from: &KeyPaths, to: &KeyPaths) -> Result<(), CaError> {
    link(&from.private, &to.private)?;
    link(&from.public, &to.public)
}

/// Gives a file a second name, where it is there and has it not yet.
fn link(from: &Path, to: &Path) -> Result<(), CaError> {
    if !from.exists() || to.exists() {
        return Ok(());
    }
    std::fs::hard_link(from, to).map_err(FsError::io("keep", from))?;
    Ok(fs::sync_directory_of(to)?)
}
