//! Keys that rotations have replaced, or taken back: kept beside the others, trusted by nobody, until
//! somebody removes them. With the last of them a rollback leads back from standby.
//!
//! They are called `user_ca_kept_N` and `host_ca_kept_N`, with `.pub` beside each; N is the number of
//! the move that put it there. Of a key that an agent has, there is the `.pub` file alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ssh_key::PublicKey;

use super::CaKind;
use super::error::CaError;
use super::key::CaKey;
use super::keystore::{Keystore, with_pub};
use super::rotation::Which;
use crate::sys::fs::{self, FsError};

impl Keystore<'_> {
    /// The numbers of a CA's kept keys, the last one last.
    pub(super) fn kept(&self, kind: CaKind) -> Result<Vec<u64>, CaError> {
        let prefix = kept_name(kind, "");
        let directory = self.path("");
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
    pub(super) fn kept_keys(&self, kind: CaKind) -> Result<Vec<PublicKey>, CaError> {
        let kept = self.kept(kind)?.into_iter();
        let keys = kept.map(|number| self.public_at(&with_pub(&self.kept_path(kind, number))));
        Ok(keys
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Removes them for good; gives what they were.
    pub(super) fn remove_kept(&self, kind: CaKind) -> Result<Vec<PublicKey>, CaError> {
        let keys = self.kept_keys(kind)?;
        for number in self.kept(kind)? {
            let path = self.kept_path(kind, number);
            fs::remove(&path)?;
            fs::remove(&with_pub(&path))?;
        }
        Ok(keys)
    }

    /// Puts a key aside, and leaves it where it is, too. Can be done again at any point.
    pub(super) fn put_aside(&self, kind: CaKind, which: Which, number: u64) -> Result<(), CaError> {
        let kept = self.kept_path(kind, number);
        link(&self.private_path(kind, which), &kept)?;
        link(&self.public_path(kind, which), &with_pub(&kept))
    }

    /// Refuses a kept key that could not be used.
    pub(super) fn check_kept(&self, kind: CaKind, number: u64) -> Result<CaKey, CaError> {
        let path = self.kept_path(kind, number);
        let public_path = with_pub(&path);
        self.look_at_file(kind, &path, &public_path)?
            .ok_or(CaError::PrivateKeyGone { path, public_path })
    }

    /// The present key is also the one that a rollback takes away.
    pub(super) fn make_new_of_old(&self, kind: CaKind) -> Result<(), CaError> {
        self.remove_new(kind)?;
        link(
            &self.private_path(kind, Which::Old),
            &self.private_path(kind, Which::New),
        )?;
        link(
            &self.public_path(kind, Which::Old),
            &self.public_path(kind, Which::New),
        )
    }

    /// Puts a kept key into the old one's place. Can be done again at any point.
    pub(super) fn bring_back(&self, kind: CaKind, number: u64) -> Result<(), CaError> {
        let kept = self.kept_path(kind, number);
        let kept_public = with_pub(&kept);
        let place = self.private_path(kind, Which::Old);
        let public_place = self.public_path(kind, Which::Old);
        if kept.exists() {
            // The public key file belongs to the private one: it is written again from it.
            fs::remove(&public_place)?;
            fs::rename(&kept, &place)?;
            return Ok(fs::remove(&kept_public)?);
        }
        let Some(public) = self.public_at(&kept_public)? else {
            return Ok(());
        };
        let there = self.look_at(kind, Which::Old)?;
        if there.is_some_and(|key| key.public().key_data() == public.key_data()) {
            return Ok(fs::remove(&kept_public)?);
        }
        // It is in an agent.
        fs::remove(&place)?;
        Ok(fs::rename(&kept_public, &public_place)?)
    }

    fn kept_path(&self, kind: CaKind, number: u64) -> PathBuf {
        self.path(&kept_name(kind, &number.to_string()))
    }
}

fn kept_name(kind: CaKind, number: &str) -> String {
    format!("{kind}_ca_kept_{number}")
}

/// Gives a file a second name, where it is there and has it not yet.
fn link(from: &Path, to: &Path) -> Result<(), CaError> {
    if !from.exists() || to.exists() {
        return Ok(());
    }
    std::fs::hard_link(from, to).map_err(FsError::io("keep", from))?;
    Ok(fs::sync_directory_of(to)?)
}
