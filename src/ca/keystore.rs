//! The CAs' keys on disk and in memory: the only file that holds a private one, beside
//! `import.rs`, which holds one on its way in.
//!
//! It never gives a private key away, never prints one, and never replaces a key file; a rotation's end
//! does (`keyring.rs`). `ssh_key`
//! wipes the key from memory when it is dropped; the text read from disk is wiped here.
//!
//! A key has two files: the private key, and the public one, which is for people. Of a key that an
//! agent has there is the public one alone.

use std::fmt;
use std::path::{Path, PathBuf};

use signature::Signer as _;
use ssh_key::{Algorithm, Certificate, HashAlg, LineEnding, PrivateKey, PublicKey, Signature};
use zeroize::Zeroizing;

use super::CaKind;
use super::agent_key::{AgentKey, SignTimeout};
use super::agent_key_config::{KeyInAgent, KeysInAgents};
use super::authority::Installation;
use super::error::CaError;
use super::key::CaKey;
use super::ledger::{self, Ledger, Mark, Marks};
use super::rotation::{RotationPhase, Which};
use crate::audit::{AuditEvent, AuditLog};
use crate::cert::{CertTemplate, SignError, check_signature, fit_to_sign};
use crate::sys::fs::{self, FileLock, PRIVATE_FILE, PUBLIC_FILE, Replace};

/// Largest key file that is read, in bytes; an RSA key of 16384 bits needs 13 KiB.
pub(super) const MAX_KEY_FILE: u64 = 64 * 1024;
/// What is signed to see whether a key signs.
const TRIAL: &[u8] = b"rproxy: does this key sign?";

/// A private key in a file.
pub(super) struct FileKey {
    private: Box<PrivateKey>,
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKey").finish_non_exhaustive()
    }
}

impl FileKey {
    /// A key that is about to be written.
    pub(super) fn new(private: Box<PrivateKey>) -> Self {
        Self { private }
    }

    pub(super) fn public(&self) -> &PublicKey {
        self.private.public_key()
    }

    pub(super) fn sign(&self, template: &CertTemplate) -> Result<Certificate, SignError> {
        template.sign(self.private.as_ref())
    }

    /// Whether its two halves belong together.
    pub(super) fn prove(&self) -> Result<(), SignError> {
        self.sign_bytes(TRIAL).map(drop)
    }

    pub(super) fn sign_bytes(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.private.try_sign(message);
        let signature = signature.map_err(|error| SignError::Key(error.into()))?;
        check_signature(self.public().key_data(), message, &signature)
            .map_err(SignError::Signature)?;
        Ok(signature)
    }
}

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

/// Which private keys are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Private {
    /// Those of both CAs.
    All,
    /// What the running proxy signs with: the host CA's key, during a rotation the one of both
    /// that signs.
    ForProxy,
}

impl Private {
    /// Whether this private key is read, where that one signs.
    pub(super) fn includes(self, kind: CaKind, which: Which, signs: Which) -> bool {
        self == Self::All || (kind == CaKind::Host && which == signs)
    }
}

/// The directory with the key files of both CAs, locked: no other process makes keys
/// meanwhile.
#[derive(Debug)]
pub(super) struct Keystore<'c> {
    directory: PathBuf,
    installation: Installation<'c>,
    /// Which private keys [`Keystore::keyring`] gives.
    pub(super) private: Private,
    _lock: Option<FileLock>,
}

impl<'c> Keystore<'c> {
    /// Makes the directory where it is missing and waits for its lock.
    pub(super) fn make(installation: Installation<'c>) -> Result<Self, CaError> {
        let directory = installation.data_dir.join("ca");
        fs::private_dir(&directory)?;
        Self::open(installation)
    }

    /// Waits for the lock of the directory.
    pub(super) fn open(installation: Installation<'c>) -> Result<Self, CaError> {
        check_data_dir(installation.data_dir)?;
        let directory = installation.data_dir.join("ca");
        match fs::check_private(&directory) {
            Err(missing) if missing.is_not_found() => {
                return Err(CaError::None(installation.data_dir.to_owned()));
            }
            checked => checked?,
        }
        Ok(Self {
            _lock: Some(FileLock::wait(&directory.join("lock"))?),
            directory,
            installation,
            private: Private::All,
        })
    }

    /// Reads no more private keys than these.
    pub(super) fn reading(self, private: Private) -> Self {
        Self { private, ..self }
    }

    /// Opens the directory for looking: what is missing stays so. `None` where there is none.
    pub(super) fn look(installation: Installation<'c>) -> Result<Option<Self>, CaError> {
        match check_data_dir(installation.data_dir) {
            Err(CaError::None(_)) => return Ok(None),
            checked => checked?,
        }
        let directory = installation.data_dir.join("ca");
        match fs::check_private(&directory) {
            Err(missing) if missing.is_not_found() => return Ok(None),
            checked => checked?,
        }
        let lock = directory.join("lock");
        Ok(Some(Self {
            _lock: lock.exists().then(|| FileLock::wait(&lock)).transpose()?,
            directory,
            installation,
            private: Private::All,
        }))
    }

    /// Writes down that a rotation has moved by itself. What cannot be written stops nothing: the
    /// schedule is what was asked for.
    pub(super) fn tell_of_move(&self, kind: CaKind, from: RotationPhase, to: RotationPhase) {
        let Installation {
            data_dir,
            cluster,
            clock,
            ..
        } = self.installation;
        let event = AuditEvent::AuthorityRotated {
            kind: kind.into(),
            from: from.name(),
            to: to.name(),
            actor: None,
        };
        let told =
            AuditLog::open(data_dir, cluster.clone(), clock).and_then(|log| log.emit(&event));
        if let Err(error) = told {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot write the audit log");
        }
    }

    /// A file of the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the private key of one of the two is, if it is a file.
    pub(super) fn private_path(&self, kind: CaKind, which: Which) -> PathBuf {
        self.path(&match which {
            Which::Old => format!("{kind}_ca"),
            Which::New => format!("{kind}_ca_new"),
        })
    }

    /// Where its public half is.
    pub(super) fn public_path(&self, kind: CaKind, which: Which) -> PathBuf {
        self.path(&match which {
            Which::Old => format!("{kind}_ca.pub"),
            Which::New => format!("{kind}_ca_new.pub"),
        })
    }

    /// The keys of a CA that are in agents.
    pub(super) fn elsewhere(&self, kind: CaKind) -> &'c KeysInAgents {
        self.installation.ca_keys.of(kind)
    }

    /// Reads a key; `None` where there is none. No agent is asked.
    ///
    /// A public key without its private key, of which the configuration does not say that an agent has
    /// it, says that the private one was taken away, perhaps for good reasons: making a new CA
    /// then would quietly split the fleet.
    pub(super) fn read(&self, kind: CaKind, which: Which) -> Result<Option<CaKey>, CaError> {
        let found = self.look_at(kind, which)?;
        if let Some(CaKey::File(key)) = &found {
            let (path, public_path) = (
                self.private_path(kind, which),
                self.public_path(kind, which),
            );
            check_public(&public_path, key.public(), &path)?;
        }
        Ok(found)
    }

    /// A key as a process needs it that signs nothing with it: of one in a file, the public half alone.
    /// The private one is read only where nothing else says what the key is.
    pub(super) fn read_public_half(
        &self,
        kind: CaKind,
        which: Which,
    ) -> Result<Option<CaKey>, CaError> {
        let (path, public_path) = (
            self.private_path(kind, which),
            self.public_path(kind, which),
        );
        match fs::check_private(&path) {
            Err(missing) if missing.is_not_found() => return self.read(kind, which),
            checked => checked?,
        }
        let public = match read_public(&public_path) {
            Ok(public) => public,
            Err(CaError::Fs(error)) => return Err(error.into()),
            Err(_) => return Err(CaError::PublicMismatch { path, public_path }),
        };
        let Some(public) = public else {
            let read = self.read(kind, which)?;
            return Ok(read.map(CaKey::without_private_half));
        };
        if self.elsewhere(kind).find(&public).is_some() {
            return Err(CaError::StillHere(path));
        }
        Ok(Some(CaKey::Unread(public)))
    }

    /// As [`Self::read`], and nothing is written: a public key file that is missing stays so.
    pub(super) fn look_at(&self, kind: CaKind, which: Which) -> Result<Option<CaKey>, CaError> {
        let path = self.private_path(kind, which);
        let public_path = self.public_path(kind, which);
        match self.look_at_file(kind, &path, &public_path) {
            Err(CaError::PrivateKeyGone { path, .. }) if which == Which::New => {
                Err(CaError::NewKeyGone(path))
            }
            looked => looked,
        }
    }

    /// The same, of a key anywhere in the directory.
    pub(super) fn look_at_file(
        &self,
        kind: CaKind,
        path: &Path,
        public_path: &Path,
    ) -> Result<Option<CaKey>, CaError> {
        match read_private(path) {
            Err(CaError::Fs(missing)) if missing.is_not_found() => {
                let Some(public) = read_public(public_path)? else {
                    return Ok(None);
                };
                match self.elsewhere(kind).find(&public) {
                    Some(one) => Ok(Some(CaKey::Agent(AgentKey::new(one.agent.clone(), public)))),
                    None => Err(CaError::PrivateKeyGone {
                        path: path.to_owned(),
                        public_path: public_path.to_owned(),
                    }),
                }
            }
            read => {
                let key = FileKey::new(Box::new(read?));
                if self.elsewhere(kind).find(key.public()).is_some() {
                    return Err(CaError::StillHere(path.to_owned()));
                }
                let _may_be_missing = has_public(public_path, key.public(), path)?;
                Ok(Some(CaKey::File(key)))
            }
        }
    }

    /// Reads the key of one CA.
    pub(super) fn key(&self, kind: CaKind) -> Result<CaKey, CaError> {
        self.read(kind, Which::Old)?.ok_or_else(|| self.none(kind))
    }

    /// That there is no such CA here.
    pub(super) fn none(&self, kind: CaKind) -> CaError {
        CaError::NoneOf {
            kind,
            data_dir: self.installation.data_dir.to_owned(),
        }
    }

    /// Makes the key of one CA where there never was any, or takes it from the agent that the
    /// configuration names; gives it where it was made.
    pub(super) fn make_key(
        &self,
        kind: CaKind,
        comment: &str,
    ) -> Result<Option<PublicKey>, CaError> {
        // What a crash has left comes into its place first.
        self.settle(kind, self.installation.clock.unix_seconds())?;
        if self.read(kind, Which::Old)?.is_some() {
            return Ok(None);
        }
        let new = match &self.elsewhere(kind).current {
            Some(one) => NewKey::InAgent(one),
            None => NewKey::Made,
        };
        let made = self.put(kind, Which::Old, new, comment)?;
        Ok(Some(made.public().clone()))
    }

    /// What the ledger knows of the other files.
    pub(super) fn marks(&self) -> Result<Marks, CaError> {
        Marks::read(self.installation.data_dir)
    }

    /// Has the ledger know how far another file is.
    pub(super) fn write_mark(&self, mark: Mark) -> Result<(), CaError> {
        let path = self.installation.data_dir.join(ledger::FILE_NAME);
        Ledger::new(path).mark(mark, self.installation.clock)
    }

    /// Puts a key where there is none. Whether it signs is tried first.
    pub(super) fn put(
        &self,
        kind: CaKind,
        which: Which,
        new: NewKey<'_>,
        comment: &str,
    ) -> Result<CaKey, CaError> {
        let path = self.private_path(kind, which);
        let public_path = self.public_path(kind, which);
        let key = match new {
            NewKey::Made => {
                let made = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
                write_private(&path, Box::new(made.map_err(encoding(&path))?), comment)?
            }
            NewKey::File(key) => {
                key.prove()?;
                write_private(&path, key.private, comment)?
            }
            NewKey::InAgent(one) => {
                let found = AgentKey::find(one, SignTimeout::Person)?;
                let public = PublicKey::new(found.public().key_data().clone(), comment);
                CaKey::Agent(AgentKey::new(one.agent.clone(), public))
            }
        };
        check_public(&public_path, key.public(), &path)?;
        Ok(key)
    }

    /// The public half of a key; `None` where there is none.
    pub(super) fn public(&self, kind: CaKind, which: Which) -> Result<Option<PublicKey>, CaError> {
        self.public_at(&self.public_path(kind, which))
    }

    /// The same, of a file of the directory.
    pub(super) fn public_at(&self, path: &Path) -> Result<Option<PublicKey>, CaError> {
        read_public(path)
    }

    /// Refuses keys that are not those of the configuration: a CA that signs with another key
    /// than its configuration says would be noticed when it is too late.
    pub(super) fn check_named<'k>(
        &self,
        kind: CaKind,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<(), CaError> {
        let elsewhere = self.elsewhere(kind);
        let Some(current) = &elsewhere.current else {
            return Ok(());
        };
        let keys: Vec<_> = keys.into_iter().collect();
        match keys.first() {
            Some(first) if !keys.iter().any(|key| elsewhere.find(key).is_some()) => {
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

/// Refuses a data directory that is not there, or that others may read or write.
fn check_data_dir(data_dir: &Path) -> Result<(), CaError> {
    match fs::check_unshared(data_dir) {
        Err(missing) if missing.is_not_found() => Err(CaError::None(data_dir.to_owned())),
        checked => Ok(checked?),
    }
}

/// The place of a key's public half.
pub(super) fn with_pub(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn encoding(path: &Path) -> impl Fn(ssh_key::Error) -> CaError + Copy {
    |source| CaError::KeyMaking {
        path: path.to_owned(),
        source,
    }
}

fn write_private(path: &Path, mut key: Box<PrivateKey>, comment: &str) -> Result<CaKey, CaError> {
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF).map_err(encoding(path))?;
    fs::write_whole(path, text.as_bytes(), PRIVATE_FILE, Replace::Refuse)?;
    Ok(CaKey::File(FileKey::new(key)))
}

fn read_private(path: &Path) -> Result<PrivateKey, CaError> {
    fs::check_private(path)?;
    let text = Zeroizing::new(fs::read_limited(path, MAX_KEY_FILE)?);
    let key = PrivateKey::from_openssh(&*text).map_err(|source| CaError::NotAKey {
        path: path.to_owned(),
        source,
    })?;
    if key.is_encrypted() {
        return Err(CaError::Encrypted(path.to_owned()));
    }
    if is_usable(&key) {
        Ok(key)
    } else {
        Err(CaError::Unusable(path.to_owned()))
    }
}

/// Whether a private key can sign certificates here: the file of a security key cannot, its private
/// half is in the device.
fn is_usable(key: &PrivateKey) -> bool {
    let signs = matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }
    );
    signs && fit_to_sign(key.public_key().clone()).is_ok()
}

fn read_public(path: &Path) -> Result<Option<PublicKey>, CaError> {
    let bytes = match fs::read_limited(path, MAX_KEY_FILE) {
        Err(missing) if missing.is_not_found() => return Ok(None),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let key = PublicKey::from_openssh(text.trim()).map_err(|source| CaError::NotAPublicKey {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(key))
}

/// The public key file is for people; it must not lie to them. A missing one is written again.
fn check_public(path: &Path, key: &PublicKey, private_path: &Path) -> Result<(), CaError> {
    if !has_public(path, key, private_path)? {
        let line = key.to_openssh().map_err(encoding(path))? + "\n";
        fs::write_whole(path, line.as_bytes(), PUBLIC_FILE, Replace::Refuse)?;
    }
    Ok(())
}

/// Whether the public key file is there; it may not hold another key then.
fn has_public(path: &Path, key: &PublicKey, private_path: &Path) -> Result<bool, CaError> {
    match read_public(path) {
        Ok(Some(there)) if there.key_data() == key.key_data() => Ok(true),
        Ok(None) => Ok(false),
        Err(CaError::Fs(error)) => Err(error.into()),
        Ok(Some(_)) | Err(_) => Err(CaError::PublicMismatch {
            path: private_path.to_owned(),
            public_path: path.to_owned(),
        }),
    }
}
