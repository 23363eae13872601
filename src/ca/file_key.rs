//! A CA's private key in a file: read, created, written, and held in memory. Only this file and
//! `import.rs` handle a private key.
//!
//! It never returns a private key, never prints one, and never replaces a key file. `ssh_key` wipes
//! the key from memory when it is dropped; the text read from disk is wiped here.
//!
//! A key has two files: the private key and the public key. If an agent holds the key, there is
//! only the public key's file.

use std::fmt;
use std::path::{Path, PathBuf};

use signature::Signer as _;
use ssh_key::{Algorithm, Certificate, LineEnding, PrivateKey, PublicKey, Signature};
use zeroize::Zeroizing;

use super::error::CaError;
use crate::cert::{CertTemplate, SignError, check_signature, fit_to_sign};
use crate::sys::fs::{self, PRIVATE_FILE, PUBLIC_FILE, Replace};

/// Largest key file that is read, in bytes; an RSA key of 16384 bits needs 13 KiB.
pub(super) const MAX_KEY_FILE: u64 = 64 * 1024;
/// What is signed to see whether a key signs.
const TRIAL: &[u8] = b"rproxy: does this key sign?";

/// The two files of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyPaths {
    pub(super) private: PathBuf,
    pub(super) public: PathBuf,
}

impl KeyPaths {
    /// The private key file, and beside it the public one, whose name ends in `.pub`.
    pub(super) fn new(private: PathBuf) -> Self {
        let mut public = private.as_os_str().to_owned();
        public.push(".pub");
        Self {
            private,
            public: PathBuf::from(public),
        }
    }
}

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

    /// Makes an Ed25519 key that is about to be written to this path.
    ///
    /// # Errors
    /// When the key library cannot make one.
    pub(super) fn generate(path: &Path) -> Result<Self, CaError> {
        let made = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
        Ok(Self::new(Box::new(made.map_err(encoding(path))?)))
    }

    /// Reads a private key file.
    ///
    /// # Errors
    /// When others may read it, or it holds no key that can sign here without a passphrase.
    pub(super) fn read(path: &Path) -> Result<Self, CaError> {
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
            Ok(Self::new(Box::new(key)))
        } else {
            Err(CaError::Unusable(path.to_owned()))
        }
    }

    /// Writes the private key file, where there is none; gives the key with its comment.
    ///
    /// # Errors
    /// When there is a file, or the disk refuses.
    pub(super) fn write(mut self, path: &Path, comment: &str) -> Result<Self, CaError> {
        self.private.set_comment(comment);
        let text = self.private.to_openssh(LineEnding::LF);
        let text = text.map_err(encoding(path))?;
        fs::write_whole(path, text.as_bytes(), PRIVATE_FILE, Replace::Refuse)?;
        Ok(self)
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

/// Whether a private key can sign certificates here: the file of a security key cannot, its private
/// half is in the device.
fn is_usable(key: &PrivateKey) -> bool {
    let signs = matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }
    );
    signs && fit_to_sign(key.public_key().clone()).is_ok()
}

fn encoding(path: &Path) -> impl Fn(ssh_key::Error) -> CaError + Copy {
    |source| CaError::KeyMaking {
        path: path.to_owned(),
        source,
    }
}

/// Reads a public key file; `None` where there is none.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub(super) fn read_public(path: &Path) -> Result<Option<PublicKey>, CaError> {
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

/// Writes the public key file where it is missing. It is for people, and must not lie to them.
///
/// # Errors
/// When it holds another key, or the disk refuses.
pub(super) fn write_public(paths: &KeyPaths, key: &PublicKey) -> Result<(), CaError> {
    if !has_public(paths, key)? {
        let line = key.to_openssh().map_err(encoding(&paths.public))? + "\n";
        fs::write_whole(&paths.public, line.as_bytes(), PUBLIC_FILE, Replace::Refuse)?;
    }
    Ok(())
}

/// Whether the public key file is there.
///
/// # Errors
/// When it holds another key, or cannot be read.
pub(super) fn has_public(paths: &KeyPaths, key: &PublicKey) -> Result<bool, CaError> {
    match read_public(&paths.public) {
        Ok(Some(there)) if there.key_data() == key.key_data() => Ok(true),
        Ok(None) => Ok(false),
        Err(CaError::Fs(error)) => Err(error.into()),
        Ok(Some(_)) | Err(_) => Err(CaError::PublicMismatch {
            path: paths.private.clone(),
            public_path: paths.public.clone(),
        }),
    }
}
