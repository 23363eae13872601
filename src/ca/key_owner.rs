//! Changes the CAs' keys: creates them, moves their rotations, imports others, removes replaced ones. The
//! process that owns the keys does it, or a command if no proxy runs; the lock of the directory prevents
//! two at once.

use ssh_key::{HashAlg, PublicKey};

use super::agent_key::{AgentKey, SignTimeout};
use super::error::CaError;
use super::file_key::FileKey;
use super::import::{ImportMode, ImportedKey};
use super::installation::Installation;
use super::keystore::{Halves, Keystore, NewKey};
use super::kind::CaKind;
use super::replaced_keys;
use super::rotation::{MoveError, Rotation, RotationPhase, Which};
use super::rotation_file;
use super::settling::{finish, settle};
use super::successors;
use crate::audit::AuditSink;
use crate::sys::feasible;

/// A key that was made for a CA, or taken from an agent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which CA.
    pub kind: CaKind,
    /// Its public half.
    pub key: PublicKey,
}

/// Changes the keys of an installation. Rotations that move by themselves are written to the audit log.
#[derive(Clone, Debug)]
pub struct KeyOwner<'c> {
    installation: Installation<'c>,
    audit: &'c dyn AuditSink,
}

impl<'c> KeyOwner<'c> {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(installation: Installation<'c>, audit: &'c dyn AuditSink) -> Self {
        Self {
            installation,
            audit,
        }
    }

    /// Does what is due now: moves the rotations of both CAs on by their schedules, finishes what a
    /// crash has left half done, and writes public key files that are missing. Can be called at any
    /// time, and again.
    ///
    /// # Errors
    /// [`CaError::None`] where there are no CAs. When the data directory or its `ca` directory may be
    /// read by others, the ledger is damaged or knows of more than there is, or the disk refuses.
    pub fn tick(&self) -> Result<(), CaError> {
        let keystore = Keystore::open(self.installation.clone())?;
        let known = self.installation.records.issued.rotation_moves()?;
        for kind in [CaKind::User, CaKind::Host] {
            settle(&keystore, kind, &known, self.audit)?;
        }
        Ok(())
    }

    /// Makes the CAs that are missing, and the directory; gives the keys that were made. Several
    /// processes may do so at once: one of them makes the keys, the others find them.
    ///
    /// # Errors
    /// As [`Self::tick`], and when a key that is there is broken, or an agent does not have the one that
    /// the configuration names. Nothing that exists is overwritten.
    pub fn make(&self) -> Result<Vec<Made>, CaError> {
        let keystore = Keystore::make(self.installation.clone())?;
        let known = self.installation.records.issued.rotation_moves()?;
        let mut made = Vec::new();
        for kind in [CaKind::User, CaKind::Host] {
            // What a crash has left comes into its place first.
            settle(&keystore, kind, &known, self.audit)?;
            if keystore.read(kind, Which::Old, Halves::Both)?.is_some() {
                continue;
            }
            let new = match &self.installation.in_agents(kind).current {
                Some(one) => NewKey::InAgent(one),
                None => {
                    self.check_first(kind)?;
                    NewKey::Made
                }
            };
            let key = keystore.put(kind, Which::Old, new)?;
            made.push(Made {
                kind,
                key: key.public().clone(),
            });
        }
        Ok(made)
    }

    /// Looks whether a CA that there is not yet could be made: where the configuration has its
    /// key in an agent, that has to hold it and sign. Nothing is made.
    ///
    /// # Errors
    /// What is wrong with the agent, or with the directory.
    pub fn could_make(&self, kind: CaKind) -> Result<(), CaError> {
        feasible::make_in(&self.installation.data_dir.ca())?;
        let Some(key) = &self.installation.in_agents(kind).current else {
            return self.check_first(kind);
        };
        AgentKey::find(key, SignTimeout::Connection)?;
        Ok(())
    }

    /// Refuses a second CA beside one of another machine.
    fn check_first(&self, kind: CaKind) -> Result<(), CaError> {
        match self
            .installation
            .records
            .issued
            .ca_of_other_machines(kind)?
        {
            None => Ok(()),
            Some(ca) => Err(CaError::OfOtherMachines {
                kind,
                data_dir: self.installation.data_dir.path().to_owned(),
                ca,
            }),
        }
    }

    /// Moves the rotation of one CA; gives where it stood and where it stands. `change` is given the
    /// former, with what was due already done, the number of the key that was kept last, and the time
    /// in seconds since the epoch.
    ///
    /// # Errors
    /// [`CaError::Move`] where the rotation does not go that way; nothing has changed then. Otherwise
    /// as [`super::Authorities::open`].
    pub fn rotate(
        &self,
        kind: CaKind,
        change: impl FnOnce(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        let now = self.installation.now();
        let (keystore, before) = self.settled(kind, Keystore::open(self.installation.clone())?)?;
        let last = replaced_keys::numbers(&keystore, kind)?.last().copied();
        let after = change(&before, last, now)?;
        if let Some(number) = after.bring() {
            replaced_keys::check(&keystore, kind, number)?;
            replaced_keys::make_new_of_old(&keystore, kind)?;
        }
        if after.phase() == RotationPhase::Init {
            // There must be an old key before there is a new one.
            let old = keystore.read(kind, Which::Old, Halves::Both)?;
            let old = old.ok_or_else(|| keystore.none(kind))?;
            let new = self.next_key(kind, old.public())?;
            put_new(&keystore, kind, new)?;
            successors::announce(&keystore, kind)?;
        }
        if after.keep() == Some(Which::New) {
            // The old key goes for good: the new one must not be a memory.
            keystore.new_key(kind)?.check(SignTimeout::Person)?;
        }
        rotation_file::store_move(&keystore, kind, &after)?;
        let after = finish(&keystore, kind, after)?;
        successors::settle(&keystore, kind, &after);
        Ok((before, after))
    }

    /// Takes in a key that exists elsewhere; gives the key that the CA had, if it had one, and where its
    /// rotation stands now. The data directory is made where it is missing; no key is.
    ///
    /// # Errors
    /// When there is a key and the mode does not say that it may go, a rotation is under way, the
    /// configuration says otherwise, or the key does not sign. Nothing has changed then.
    pub fn import(
        &self,
        kind: CaKind,
        imported: ImportedKey,
        mode: ImportMode,
    ) -> Result<(Option<PublicKey>, Rotation), CaError> {
        let now = self.installation.now();
        let (keystore, rotation) =
            self.settled(kind, Keystore::make(self.installation.clone())?)?;
        let public = imported.public().clone();
        let old = old_beside(&keystore, kind, &public)?;
        let new = self.imported(kind, imported)?;
        let Some(old) = old else {
            keystore.check_named(kind, [&public])?;
            keystore.put(kind, Which::Old, new)?;
            return Ok((None, rotation));
        };
        let after = match mode {
            ImportMode::First => {
                return Err(CaError::HasKey {
                    kind,
                    key: old.fingerprint(HashAlg::Sha256),
                });
            }
            ImportMode::Rotate => {
                let after = rotation.begin(kind, None, now)?;
                keystore.check_named(kind, [&old, &public])?;
                after
            }
            ImportMode::Overwrite => {
                let after = rotation.replaced(kind, now)?;
                keystore.check_named(kind, [&public])?;
                after
            }
        };
        put_new(&keystore, kind, new)?;
        match mode {
            // The old key may be the reason, and not sign any more.
            ImportMode::Overwrite => successors::announce_if_possible(&keystore, kind),
            ImportMode::First | ImportMode::Rotate => successors::announce(&keystore, kind)?,
        }
        rotation_file::store_move(&keystore, kind, &after)?;
        let after = finish(&keystore, kind, after)?;
        successors::settle(&keystore, kind, &after);
        Ok((Some(old), after))
    }

    /// Removes the keys that rotations have left, for good; gives what they were.
    ///
    /// # Errors
    /// When the data directory cannot be used, or the disk refuses.
    pub fn remove_kept(&self, kind: CaKind) -> Result<Vec<PublicKey>, CaError> {
        replaced_keys::remove(&Keystore::open(self.installation.clone())?, kind)
    }

    /// The rotation of one CA, with what was due already done.
    fn settled(
        &self,
        kind: CaKind,
        keystore: Keystore<'c>,
    ) -> Result<(Keystore<'c>, Rotation), CaError> {
        let known = self.installation.records.issued.rotation_moves()?;
        let rotation = settle(&keystore, kind, &known, self.audit)?;
        Ok((keystore, rotation))
    }

    /// What a rotation brings: where the configuration names keys in agents, the next one of them.
    fn next_key(&self, kind: CaKind, old: &PublicKey) -> Result<NewKey<'c>, CaError> {
        let in_agents = self.installation.in_agents(kind);
        match in_agents.next.as_ref().filter(|next| !next.is(old)) {
            Some(next) => Ok(NewKey::InAgent(next)),
            None if in_agents.is_empty() => Ok(NewKey::Made),
            None => Err(CaError::NoNextKey(kind)),
        }
    }

    /// What is imported, as the configuration says that it is kept.
    fn imported(&self, kind: CaKind, imported: ImportedKey) -> Result<NewKey<'c>, CaError> {
        let in_agents = self.installation.in_agents(kind);
        match imported {
            ImportedKey::Private(key) => {
                // Once it is here, no agent may be said to have it.
                if in_agents.find(key.public_key()).is_some() {
                    return Err(CaError::InAgent(kind));
                }
                Ok(NewKey::File(FileKey::new(key)))
            }
            ImportedKey::Public(public) => match in_agents.find(&public) {
                Some(one) => Ok(NewKey::InAgent(one)),
                None => Err(CaError::NoAgentFor(public.fingerprint(HashAlg::Sha256))),
            },
        }
    }
}

/// The key that a CA has, if it is not the one that is imported. A key whose private file
/// is gone counts as none where the imported one is the same: then it is brought back.
fn old_beside(
    keystore: &Keystore<'_>,
    kind: CaKind,
    imported: &PublicKey,
) -> Result<Option<PublicKey>, CaError> {
    let is_same = |key: &PublicKey| key.key_data() == imported.key_data();
    match keystore.read(kind, Which::Old, Halves::Both) {
        Ok(Some(key)) if is_same(key.public()) => Err(CaError::HasThisKey(kind)),
        Ok(key) => Ok(key.map(|key| key.public().clone())),
        Err(gone @ CaError::PrivateKeyGone { .. }) => match keystore.public(kind, Which::Old)? {
            Some(there) if is_same(&there) => Ok(None),
            _ => Err(gone),
        },
        Err(error) => Err(error),
    }
}

/// Puts the key that a rotation brings into its place. What an earlier attempt left behind was never
/// announced.
fn put_new(keystore: &Keystore<'_>, kind: CaKind, new: NewKey<'_>) -> Result<(), CaError> {
    keystore.remove_new(kind)?;
    keystore.put(kind, Which::New, new).map(drop)
}
