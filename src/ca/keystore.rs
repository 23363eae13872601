//! The directory with the key files of both CAs: lists them, reads them, and writes missing ones.
//!
//! Existing files are not changed. Changes are made only through [`super::KeyOwner`].

use std::path::PathBuf;

use ssh_key::{HashAlg, PublicKey};

use super::agent_key::{AgentKey, SignTimeout};
use super::agent_key_config::KeyInAgent;
use super::error::CaError;
use super::file_key::{self, FileKey, KeyPaths};
use super::installation::Installation;
use super::key::CaKey;
use super::kind::CaKind;
use super::rotation::Which;
use crate::sys::fs::{self, FileLock};

/// A key that is put into the keystore.
#[derive(Debug)]
pub(super) enum NewKey<'k> {
    /// One that is made now.
    Made,
    /// A private key, which becomes a file.
    File(FileKey),
    /// A key that an agent has; its public half is written down.
    InAgent(&'k KeyInAgent),
}

/// How much of a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halves {
    /// Both, to sign with it.
    Both,
    /// Of a key in a file the public half alone. The private one is read only where nothing else says
    /// what the key is, and forgotten.
    Public,
}

/// The directory with the key files of both CAs, locked: no other process changes keys meanwhile.
#[derive(Debug)]
pub(super) struct Keystore<'c> {
    directory: PathBuf,
    installation: Installation<'c>,
    _lock: Option<FileLock>,
}

impl<'c> Keystore<'c> {
    /// Makes the directory where it is missing and waits for its lock.
    pub(super) fn make(installation: Installation<'c>) -> Result<Self, CaError> {
        fs::private_dir(&directory(&installation))?;
        Self::open(installation)
    }

    /// Waits for the lock of the directory, in order to change something in it.
    pub(super) fn open(installation: Installation<'c>) -> Result<Self, CaError> {
        let directory = checked_directory(&installation)?;
        Ok(Self {
            _lock: Some(FileLock::wait(&directory.join("lock"))?),
            directory,
            installation,
        })
    }

    /// The same for reading: nothing is made, the lock file neither.
    pub(super) fn read_only(installation: Installation<'c>) -> Result<Self, CaError> {
        let directory = checked_directory(&installation)?;
        let lock = directory.join("lock");
        Ok(Self {
            _lock: lock.exists().then(|| FileLock::wait(&lock)).transpose()?,
            directory,
            installation,
        })
    }

    pub(super) fn installation(&self) -> &Installation<'c> {
        &self.installation
    }

    /// A file of the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The files of one of the two keys of a CA.
    pub(super) fn paths(&self, kind: CaKind, which: Which) -> KeyPaths {
        KeyPaths::new(self.path(&match which {
            Which::Old => format!("{kind}_ca"),
            Which::New => format!("{kind}_ca_new"),
        }))
    }

    /// Reads a key; `None` where there is none. No agent is asked.
    ///
    /// A public key without its private key, of which the configuration does not say that an agent has
    /// it, says that the private one was taken away, perhaps for good reasons: making a new CA
    /// then would quietly split the fleet.
    pub(super) fn read(
        &self,
        kind: CaKind,
        which: Which,
        halves: Halves,
    ) -> Result<Option<CaKey>, CaError> {
        match self.read_at(kind, &self.paths(kind, which), halves) {
            Err(CaError::PrivateKeyGone { path, .. }) if which == Which::New => {
                Err(CaError::NewKeyGone(path))
            }
            read => read,
        }
    }

    /// The same, of a key anywhere in the directory.
    pub(super) fn read_at(
        &self,
        kind: CaKind,
        paths: &KeyPaths,
        halves: Halves,
    ) -> Result<Option<CaKey>, CaError> {
        match halves {
            Halves::Both => self.read_both(kind, paths),
            Halves::Public => self.read_public_half(kind, paths),
        }
    }

    fn read_both(&self, kind: CaKind, paths: &KeyPaths) -> Result<Option<CaKey>, CaError> {
        let in_agents = self.installation.in_agents(kind);
        match FileKey::read(&paths.private) {
            Err(CaError::Fs(missing)) if missing.is_not_found() => {
                let Some(public) = file_key::read_public(&paths.public)? else {
                    return Ok(None);
                };
                match in_agents.find(&public) {
                    Some(one) => Ok(Some(CaKey::Agent(AgentKey::new(one.agent.clone(), public)))),
                    None => Err(CaError::PrivateKeyGone {
                        path: paths.private.clone(),
                        public_path: paths.public.clone(),
                    }),
                }
            }
            read => {
                let key = read?;
                if in_agents.find(key.public()).is_some() {
                    return Err(CaError::StillHere(paths.private.clone()));
                }
                let _may_be_missing = file_key::has_public(paths, key.public())?;
                Ok(Some(CaKey::File(key)))
            }
        }
    }

    fn read_public_half(&self, kind: CaKind, paths: &KeyPaths) -> Result<Option<CaKey>, CaError> {
        match fs::check_private(&paths.private) {
            Err(missing) if missing.is_not_found() => return self.read_both(kind, paths),
            checked => checked?,
        }
        let public = match file_key::read_public(&paths.public) {
            Ok(public) => public,
            Err(CaError::Fs(error)) => return Err(error.into()),
            Err(_) => {
                return Err(CaError::PublicMismatch {
                    path: paths.private.clone(),
                    public_path: paths.public.clone(),
                });
            }
        };
        let Some(public) = public else {
            let read = self.read_both(kind, paths)?;
            return Ok(read.map(CaKey::without_private_half));
        };
        if self.installation.in_agents(kind).find(&public).is_some() {
            return Err(CaError::StillHere(paths.private.clone()));
        }
        Ok(Some(CaKey::Unread(public)))
    }

    /// The new key, where it is to take the old one's place and has not done so yet: its private key
    /// file is not there, while its public one may still be where it was.
    pub(super) fn moving_in(&self, kind: CaKind, halves: Halves) -> Result<Option<CaKey>, CaError> {
        let (new, place) = (self.paths(kind, Which::New), self.paths(kind, Which::Old));
        if !new.private.exists()
            && place.private.exists()
            && let Some(moved) = file_key::read_public(&new.public)?
            && let Some(there) = self.read(kind, Which::Old, Halves::Public)?
            && there.public().key_data() == moved.key_data()
        {
            return Ok(None);
        }
        self.read(kind, Which::New, halves)
    }

    /// Writes the public key files that are missing beside private ones.
    pub(super) fn complete(&self, kind: CaKind, which: Which) -> Result<(), CaError> {
        let paths = self.paths(kind, which);
        if !paths.private.exists() || paths.public.exists() {
            return Ok(());
        }
        match self.read(kind, which, Halves::Both)? {
            Some(CaKey::File(key)) => file_key::write_public(&paths, key.public()),
            Some(CaKey::Agent(_) | CaKey::Unread(_)) | None => Ok(()),
        }
    }

    /// The public half of a key, as its own file has it; `None` where there is none.
    pub(super) fn public(&self, kind: CaKind, which: Which) -> Result<Option<PublicKey>, CaError> {
        file_key::read_public(&self.paths(kind, which).public)
    }

    /// That there is no such CA here.
    pub(super) fn none(&self, kind: CaKind) -> CaError {
        CaError::NoneOf {
            kind,
            data_dir: self.installation.data_dir.path().to_owned(),
        }
    }

    /// That the key is not there that a rotation brings.
    pub(super) fn new_gone(&self, kind: CaKind) -> CaError {
        CaError::NewKeyGone(self.paths(kind, Which::New).private)
    }

    /// The key that a rotation brings.
    pub(super) fn new_key(&self, kind: CaKind) -> Result<CaKey, CaError> {
        let new = self.read(kind, Which::New, Halves::Both)?;
        new.ok_or_else(|| self.new_gone(kind))
    }

    /// Puts a key where there is none. Whether it signs is tried first.
    pub(super) fn put(
        &self,
        kind: CaKind,
        which: Which,
        new: NewKey<'_>,
    ) -> Result<CaKey, CaError> {
        let paths = self.paths(kind, which);
        let comment = self.installation.comment(kind);
        let key = match new {
            NewKey::Made => {
                let made = FileKey::generate(&paths.private)?;
                CaKey::File(made.write(&paths.private, &comment)?)
            }
            NewKey::File(key) => {
                key.prove()?;
                CaKey::File(key.write(&paths.private, &comment)?)
            }
            NewKey::InAgent(one) => {
                let found = AgentKey::find(one, SignTimeout::Person)?;
                let public = PublicKey::new(found.public().key_data().clone(), comment);
                CaKey::Agent(AgentKey::new(one.agent.clone(), public))
            }
        };
        file_key::write_public(&paths, key.public())?;
        Ok(key)
    }

    /// Removes the key that a rotation brings.
    pub(super) fn remove_new(&self, kind: CaKind) -> Result<(), CaError> {
        let new = self.paths(kind, Which::New);
        fs::remove(&new.private)?;
        Ok(fs::remove(&new.public)?)
    }

    /// Refuses keys that are not those of the configuration: a CA that signs with another key
    /// than its configuration says would be noticed when it is too late.
    pub(super) fn check_named<'k>(
        &self,
        kind: CaKind,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<(), CaError> {
        let in_agents = self.installation.in_agents(kind);
        let Some(current) = &in_agents.current else {
            return Ok(());
        };
        let keys: Vec<_> = keys.into_iter().collect();
        match keys.first() {
            Some(first) if !keys.iter().any(|key| in_agents.find(key).is_some()) => {
                Err(CaError::OtherKey {
                    kind,
                    configured: current.key.to_string(),
                    there: first.fingerprint(HashAlg::Sha256).to_string(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn directory(installation: &Installation<'_>) -> PathBuf {
    installation.data_dir.ca()
}

/// The directory with the keys. Refuses a data directory that is not there, or that others may read or
/// write, and the same of the directory itself.
fn checked_directory(installation: &Installation<'_>) -> Result<PathBuf, CaError> {
    let none = || CaError::None(installation.data_dir.path().to_owned());
    match fs::check_unshared(installation.data_dir.path()) {
        Err(missing) if missing.is_not_found() => return Err(none()),
        checked => checked?,
    }
    let directory = directory(installation);
    match fs::check_private(&directory) {
        Err(missing) if missing.is_not_found() => return Err(none()),
        checked => checked?,
    }
    Ok(directory)
}
