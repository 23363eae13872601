//! Existing keys that are imported as a CA's key: read, unlocked, checked.

use std::fmt;
use std::path::Path;

use ssh_key::{Algorithm, PrivateKey, PublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::file_key::MAX_KEY_FILE;
use crate::cert::{self, RequestError, fit_to_sign};
use crate::sys::fs::{self, FsError};

/// What becomes of the key that a CA has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// It stays: nothing is imported where there is one.
    First,
    /// A rotation begins, which replaces it.
    Rotate,
    /// It goes at once.
    Overwrite,
}

/// A key that can be imported.
pub enum ImportedKey {
    /// A private key without a passphrase.
    Private(Box<PrivateKey>),
    /// The public half of a key that an agent has.
    Public(PublicKey),
}

impl ImportedKey {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Private(key) => key.public_key(),
            Self::Public(key) => key,
        }
    }
}

/// Refuses private key files whose key could not sign for a CA. What decides is in the clear,
/// also in a file with a passphrase.
fn check(key: &PrivateKey) -> Result<(), ImportError> {
    match key.algorithm() {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Err(ImportError::SecurityKey),
        _ => Ok(fit_to_sign(key.public_key().clone()).map(drop)?),
    }
}

impl fmt::Debug for ImportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedKey").finish_non_exhaustive()
    }
}

/// A private key whose passphrase is still to be given.
pub struct LockedKey(Box<PrivateKey>);

impl LockedKey {
    /// Takes the passphrase off.
    ///
    /// # Errors
    /// A wrong passphrase.
    pub fn unlock(self, passphrase: &[u8]) -> Result<ImportedKey, ImportError> {
        let unlocked = self.0.decrypt(passphrase);
        // A wrong passphrase and damage look the same.
        let key = unlocked.map_err(|_either| ImportError::Passphrase)?;
        Ok(ImportedKey::Private(Box::new(key)))
    }
}

impl fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedKey").finish_non_exhaustive()
    }
}

/// What a file holds.
#[derive(Debug)]
pub enum KeyFile {
    /// A key that is ready to be imported.
    Ready(ImportedKey),
    /// A private key with a passphrase.
    Locked(LockedKey),
}

/// Why a file cannot be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It cannot be read, or others can read it.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A private key of another format.
    #[error("this is a private key in {0} format, not in OpenSSH's")]
    Format(&'static str),
    /// It begins as a private key and does not parse.
    #[error("the private key cannot be read")]
    Damaged(#[source] ssh_key::Error),
    /// The passphrase is another one.
    #[error("the passphrase is wrong, or the file is damaged")]
    Passphrase,
    /// A file that only tells a security key which of its keys is meant.
    #[error("this is the file of a security key, whose private half is in the device")]
    SecurityKey,
    /// A key that cannot be a CA's.
    #[error(transparent)]
    Key(#[from] RequestError),
}

impl ImportError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self, file: &Path) -> Option<String> {
        let file = file.display();
        Some(match self {
            Self::Fs(FsError::TooOpen { .. }) => format!(
                "whoever has read it can sign as this CA; if nobody has: chmod 0600 {file}"
            ),
            Self::Fs(_) => return None,
            Self::Format("PuTTY's") => {
                format!("convert it: puttygen {file} -O private-openssh-new -o NEWFILE")
            }
            Self::Format(_) => {
                format!("convert a copy of it: ssh-keygen -p -f {file} writes it in OpenSSH's")
            }
            // One ECDSA key of 256 bits in 256 is too short for ssh-key, and no worse than others.
            Self::Damaged(_) => format!(
                "if ssh-keygen -y -f {file} can read it, load it into an agent, name that in \
                 auth_service.ca_keys, and give the .pub file; if not, bring it back from a backup"
            ),
            Self::Passphrase => format!("ssh-keygen -y -f {file} tells whether it is the right one"),
            Self::SecurityKey => "load it into an agent, name that in auth_service.ca_keys, and \
                                  give the .pub file"
                .to_owned(),
            Self::Key(RequestError::NotAKey) => {
                "give a private key in OpenSSH's format, or the .pub file of a key that an agent has"
                    .to_owned()
            }
            Self::Key(error) => error.hint(),
        })
    }
}

impl KeyFile {
    /// Reads a private key file in OpenSSH's format, or a public key file.
    ///
    /// # Errors
    /// Says what is there instead, or what is wrong with the key. A private key that others may read
    /// is refused, as OpenSSH does.
    pub fn read(path: &Path) -> Result<Self, ImportError> {
        let bytes = Zeroizing::new(fs::read_limited(path, MAX_KEY_FILE)?);
        // Whatever is no text is no key of any format here.
        let text = str::from_utf8(&bytes).unwrap_or_default();
        if let Some(format) = foreign_format(text) {
            return Err(ImportError::Format(format));
        }
        if !text
            .trim_start()
            .starts_with("-----BEGIN OPENSSH PRIVATE KEY-----")
        {
            let public = cert::parse_public_key(text)?;
            return Ok(Self::Ready(ImportedKey::Public(public)));
        }
        fs::check_closed(path)?;
        let key = PrivateKey::from_openssh(text.trim_start()).map_err(ImportError::Damaged)?;
        check(&key)?;
        if key.is_encrypted() {
            return Ok(Self::Locked(LockedKey(Box::new(key))));
        }
        Ok(Self::Ready(ImportedKey::Private(Box::new(key))))
    }
}

/// The name of another format for private keys.
fn foreign_format(text: &str) -> Option<&'static str> {
    let first = text.trim_start().lines().next()?;
    if first.starts_with("PuTTY-User-Key-File-") {
        return Some("PuTTY's");
    }
    let name = first.trim_end().strip_prefix("-----BEGIN ")?;
    match name.strip_suffix("PRIVATE KEY-----")? {
        "OPENSSH " => None,
        "" | "ENCRYPTED " => Some("PKCS#8"),
        _ => Some("PEM"),
    }
}
