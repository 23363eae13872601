//! Creates host keys for hosts that have none to be certified. They are handed over and not kept.

use std::fmt;

use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::error::CaError;

/// A new Ed25519 host key, on its way to the host's file.
pub struct NewHostKey {
    private: Zeroizing<String>,
    public: PublicKey,
}

impl NewHostKey {
    /// Makes one. The comment is for people.
    ///
    /// # Errors
    /// When the key library cannot make or encode a key.
    pub fn generate(comment: &str) -> Result<Self, CaError> {
        let mut key =
            PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(CaError::HostKey)?;
        key.set_comment(comment);
        Ok(Self {
            private: key.to_openssh(LineEnding::LF).map_err(CaError::HostKey)?,
            public: key.public_key().clone(),
        })
    }

    /// The text of the private key file, in OpenSSH's format without a passphrase.
    #[must_use]
    pub fn private_text(&self) -> &str {
        &self.private
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

impl fmt::Debug for NewHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewHostKey").finish_non_exhaustive()
    }
}
