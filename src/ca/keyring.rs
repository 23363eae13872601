//! The one or two keys of a CA, and the steps by which a rotation changes them.
//!
//! The state file says where the rotation stands; it is replaced in one step, before the keys are
//! touched where a key goes away, and after where one is made. A crash in between leaves a state from
//! which the next opening finishes the work.

use std::path::PathBuf;

use ssh_key::{HashAlg, PublicKey};

use super::CaKind;
use super::agent_key::SignTimeout;
use super::error::CaError;
use super::import::{ImportMode, ImportedKey};
use super::key::CaKey;
use super::keystore::{FileKey, Keystore, NewKey};
use super::ledger::Mark;
use super::rotation::{MoveError, Rotation, RotationPhase, Which};
use crate::sys::fs::{self, PRIVATE_FILE, Replace};

/// Largest state file that is read, in bytes; one has some 200.
const MAX_STATE: u64 = 4096;

/// The keys of one CA.
#[derive(Debug)]
pub(super) struct Keyring {
    /// Where its rotation stands.
    pub(super) rotation: Rotation,
    /// The key from before the rotation; the only one in standby.
    pub(super) old: CaKey,
    /// The key that the rotation brings, as long as it is not the only one.
    pub(super) new: Option<CaKey>,
    /// Keys from before, which nobody trusts any more.
    pub(super) kept: Vec<PublicKey>,
}

impl Keystore<'_> {
    /// Reads the keys of a CA. Finishes what a crash has left, and what the schedule says is
    /// due.
    pub(super) fn keyring(&self, kind: CaKind, now: u64) -> Result<Keyring, CaError> {
        let rotation = self.settle(kind, now)?;
        let signs = rotation.signs_with(kind);
        let read = |which| match self.private.includes(kind, which, signs) {
            true => self.read(kind, which),
            false => self.read_public_half(kind, which),
        };
        let gone = || CaError::NewKeyGone(self.private_path(kind, Which::New));
        let new = match rotation.phase() {
            RotationPhase::Standby => None,
            // What is rolled back may be gone: nothing is signed with it any more.
            RotationPhase::Rollback => match read(Which::New) {
                Err(CaError::NewKeyGone(_)) => None,
                read => read?,
            },
            RotationPhase::Init | RotationPhase::UpdateClients | RotationPhase::UpdateServers => {
                Some(read(Which::New)?.ok_or_else(gone)?)
            }
        };
        let none = || self.none(kind);
        let old = read(Which::Old)?.ok_or_else(none)?;
        self.check_named(kind, [&old].into_iter().chain(&new).map(CaKey::public))?;
        Ok(Keyring {
            rotation,
            old,
            new,
            kept: self.kept_keys(kind)?,
        })
    }

    /// Moves a rotation; gives where it stood and where it stands.
    pub(super) fn rotate(
        &self,
        kind: CaKind,
        comment: &str,
        now: u64,
        change: impl FnOnce(&Rotation, Option<u64>) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        let before = self.settle(kind, now)?;
        let after = change(&before, self.kept(kind)?.last().copied())?;
        if let Some(kept) = after.bring() {
            self.check_kept(kind, kept)?;
            self.make_new_of_old(kind)?;
        }
        if after.phase() == RotationPhase::Init {
            // There must be an old key before there is a new one.
            let old = self.key(kind)?;
            let new = self.next_key(kind, old.public())?;
            self.put_new(kind, new, comment)?;
        }
        if after.keep() == Some(Which::New) {
            // The old key goes for good: the new one must not be a memory.
            self.new_key(kind)?.check(SignTimeout::Person)?;
        }
        self.store(kind, &after)?;
        self.mark(kind, &after)?;
        Ok((before, self.finish(kind, after)?))
    }

    /// Takes in a key that exists elsewhere; gives the key that the CA had, and where its
    /// rotation stands now.
    pub(super) fn import(
        &self,
        kind: CaKind,
        comment: &str,
        now: u64,
        imported: ImportedKey,
        mode: ImportMode,
    ) -> Result<(Option<PublicKey>, Rotation), CaError> {
        let rotation = self.settle(kind, now)?;
        let public = imported.public().clone();
        let old = self.old_beside(kind, &public)?;
        let new = match imported {
            ImportedKey::Private(key) => {
                // Once it is here, no agent may be said to have it.
                if self.elsewhere(kind).find(&public).is_some() {
                    return Err(CaError::InAgent(kind));
                }
                NewKey::File(FileKey::new(key))
            }
            ImportedKey::Public(_) => match self.elsewhere(kind).find(&public) {
                Some(one) => NewKey::InAgent(one),
                None => return Err(CaError::NoAgentFor(public.fingerprint(HashAlg::Sha256))),
            },
        };
        let Some(old) = old else {
            self.check_named(kind, [&public])?;
            self.put(kind, Which::Old, new, comment)?;
            return Ok((None, rotation));
        };
        let after = match mode {
            ImportMode::First => return Err(has_key(kind, &old)),
            ImportMode::Rotate => {
                let after = rotation.begin(kind, None, now)?;
                self.check_named(kind, [&old, &public])?;
                after
            }
            ImportMode::Overwrite => {
                let after = rotation.replaced(kind, now)?;
                self.check_named(kind, [&public])?;
                after
            }
        };
        self.put_new(kind, new, comment)?;
        self.store(kind, &after)?;
        self.mark(kind, &after)?;
        Ok((Some(old), self.finish(kind, after)?))
    }

    /// The key that a CA has, if it is not the one that is imported. A key whose private file
    /// is gone counts as none where the imported one is the same: then it is brought back.
    fn old_beside(&self, kind: CaKind, imported: &PublicKey) -> Result<Option<PublicKey>, CaError> {
        let is_same = |key: &PublicKey| key.key_data() == imported.key_data();
        match self.read(kind, Which::Old) {
            Ok(Some(key)) if is_same(key.public()) => Err(CaError::HasThisKey(kind)),
            Ok(key) => Ok(key.map(|key| key.public().clone())),
            Err(gone @ CaError::PrivateKeyGone { .. }) => match self.public(kind, Which::Old)? {
                Some(there) if is_same(&there) => Ok(None),
                _ => Err(gone),
            },
            Err(error) => Err(error),
        }
    }

    /// What a rotation brings: where the configuration names keys in agents, the next one of them.
    fn next_key(&self, kind: CaKind, old: &PublicKey) -> Result<NewKey<'_>, CaError> {
        let elsewhere = self.elsewhere(kind);
        match elsewhere.next.as_ref().filter(|next| !next.is(old)) {
            Some(next) => Ok(NewKey::InAgent(next)),
            None if elsewhere.is_empty() => Ok(NewKey::Made),
            None => Err(CaError::NoNextKey(kind)),
        }
    }

    /// What an earlier attempt left behind was never announced.
    fn put_new(&self, kind: CaKind, new: NewKey<'_>, comment: &str) -> Result<(), CaError> {
        self.remove_new(kind)?;
        self.put(kind, Which::New, new, comment).map(drop)
    }

    fn new_key(&self, kind: CaKind) -> Result<CaKey, CaError> {
        let gone = || CaError::NewKeyGone(self.private_path(kind, Which::New));
        self.read(kind, Which::New)?.ok_or_else(gone)
    }

    /// The state files of both CAs: when one changes, the keys do.
    pub(super) fn state_files(&self) -> [PathBuf; 2] {
        [CaKind::User, CaKind::Host].map(|kind| self.state_path(kind))
    }

    fn state_path(&self, kind: CaKind) -> PathBuf {
        self.path(&format!("{kind}_rotation.json"))
    }

    pub(super) fn settle(&self, kind: CaKind, now: u64) -> Result<Rotation, CaError> {
        let stored = self.read_state(kind)?;
        let advanced = stored.advanced(now);
        if advanced != stored {
            self.store(kind, &advanced)?;
            self.mark(kind, &advanced)?;
            self.tell_of_move(kind, stored.phase(), advanced.phase());
        }
        self.finish(kind, advanced)
    }

    /// Puts every key where the phase wants it: one into the place in standby, the other aside. Can be
    /// done again at any point.
    fn finish(&self, kind: CaKind, rotation: Rotation) -> Result<Rotation, CaError> {
        let keep = match (rotation.bring(), rotation.keep()) {
            (Some(kept), _) => {
                self.bring_back(kind, kept)?;
                let settled = rotation.settled();
                self.store(kind, &settled)?;
                return Ok(settled);
            }
            (None, Some(keep)) => keep,
            (None, None) => return Ok(rotation),
        };
        if keep == Which::Old {
            self.put_aside(kind, Which::New, rotation.moves())?;
        } else if !self.has_moved(kind)? {
            match self.read(kind, Which::New)? {
                Some(CaKey::File(_) | CaKey::Unread(_)) => {
                    self.put_aside(kind, Which::Old, rotation.moves())?;
                    // The public key file belongs to the private one: it is written again from it.
                    fs::remove(&self.public_path(kind, Which::Old))?;
                    let place = self.private_path(kind, Which::Old);
                    fs::rename(&self.private_path(kind, Which::New), &place)?;
                }
                Some(CaKey::Agent(_)) => {
                    self.put_aside(kind, Which::Old, rotation.moves())?;
                    fs::remove(&self.private_path(kind, Which::Old))?;
                    let place = self.public_path(kind, Which::Old);
                    fs::rename(&self.public_path(kind, Which::New), &place)?;
                }
                // It is in its place.
                None => {}
            }
        }
        self.remove_new(kind)?;
        let settled = rotation.settled();
        self.store(kind, &settled)?;
        Ok(settled)
    }

    /// Whether the private key file of the new key is in the old one's place already, and only its
    /// public key file is still where it was.
    fn has_moved(&self, kind: CaKind) -> Result<bool, CaError> {
        if self.private_path(kind, Which::New).exists() {
            return Ok(false);
        }
        let Some(new) = self.public(kind, Which::New)? else {
            return Ok(false);
        };
        let place = self.private_path(kind, Which::Old);
        Ok(place.exists()
            && matches!(
                self.read(kind, Which::Old)?,
                Some(key) if key.public().key_data() == new.key_data()
            ))
    }

    pub(super) fn remove_new(&self, kind: CaKind) -> Result<(), CaError> {
        fs::remove(&self.private_path(kind, Which::New))?;
        Ok(fs::remove(&self.public_path(kind, Which::New))?)
    }

    /// Where the rotation stood when it was last written down.
    ///
    /// # Errors
    /// When the file cannot be read, or the ledger knows that it had moved on.
    pub(super) fn read_state(&self, kind: CaKind) -> Result<Rotation, CaError> {
        let path = self.state_path(kind);
        // The ledger first: it is always behind.
        let known = self.marks()?.moves(kind);
        let rotation = match fs::read_limited(&path, MAX_STATE) {
            Err(missing) if missing.is_not_found() => Rotation::default(),
            read => {
                let read = serde_json::from_slice(&read?);
                let bad = |source| CaError::RotationState {
                    path: path.clone(),
                    source,
                };
                read.map_err(bad)?
            }
        };
        if rotation.moves() < known {
            let at = |moves| Mark::Rotation {
                authority: kind,
                moves,
            };
            return Err(CaError::Older {
                path,
                has: at(rotation.moves()).to_string(),
                known: at(known).to_string(),
            });
        }
        Ok(rotation)
    }

    /// Has the ledger know how far the rotation is.
    fn mark(&self, kind: CaKind, rotation: &Rotation) -> Result<(), CaError> {
        self.write_mark(Mark::Rotation {
            authority: kind,
            moves: rotation.moves(),
        })
    }

    fn store(&self, kind: CaKind, rotation: &Rotation) -> Result<(), CaError> {
        // The only key must not go away for one that is not there.
        if rotation.keep() == Some(Which::New) {
            self.new_key(kind)?;
        }
        let mut text = serde_json::to_string(rotation).map_err(CaError::Record)?;
        text.push('\n');
        let path = self.state_path(kind);
        Ok(fs::write_whole(
            &path,
            text.as_bytes(),
            PRIVATE_FILE,
            Replace::Allow,
        )?)
    }
}

fn has_key(kind: CaKind, key: &PublicKey) -> CaError {
    CaError::HasKey {
        kind,
        key: key.fingerprint(HashAlg::Sha256),
    }
}
