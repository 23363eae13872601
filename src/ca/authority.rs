//! One CA: its keys, the state of their rotation, and what the signing key may sign.

use ssh_key::{Certificate, PublicKey, Signature};

use super::agent_key::SignTimeout;
use super::agent_key_config::AgentSocket;
use super::error::CaError;
use super::installation::Installation;
use super::issue_log::RotationMoves;
use super::key::CaKey;
use super::keyring::{Keyring, PrivateKeys};
use super::keystore::Keystore;
use super::kind::CaKind;
use super::rotation::{Rotation, Which};
use crate::cert::{CertTemplate, TrustedKeys, UnsignedError, check_proxy_host};

/// One CA. Within this room it signs what [`super::Issuer`] has checked; others get from it what
/// [`Self::sign_for_proxy`] has.
#[derive(Debug)]
pub struct Authority {
    kind: CaKind,
    keyring: Keyring,
    /// What others are to trust, with a comment that names it.
    public: Vec<PublicKey>,
}

impl Authority {
    /// Opens one of the two CAs as it lies on the disk. Nothing is written, no agent is asked, and a
    /// rotation that should have moved by itself stays where it was written down:
    /// [`Rotation::overdue`] tells.
    ///
    /// # Errors
    /// [`CaError::None`] and [`CaError::NoneOf`] where it was never made. Otherwise as
    /// [`super::Authorities::open`].
    pub fn open(installation: &Installation<'_>, kind: CaKind) -> Result<Self, CaError> {
        let keystore = Keystore::read_only(installation.clone())?;
        let known = installation.records.issued.rotation_moves()?;
        Self::read(&keystore, kind, &known, PrivateKeys::All)
    }

    /// Reads one of the two from the open directory.
    pub(super) fn read(
        keystore: &Keystore<'_>,
        kind: CaKind,
        known: &RotationMoves,
        private: PrivateKeys,
    ) -> Result<Self, CaError> {
        let keyring = Keyring::read(keystore, kind, known, private)?;
        Ok(Self::of(
            kind,
            keyring,
            &keystore.installation().comment(kind),
        ))
    }

    /// The CA with these keys.
    fn of(kind: CaKind, keyring: Keyring, comment: &str) -> Self {
        let keys = std::iter::once(&keyring.old).chain(&keyring.new);
        let public = keys.map(|key| PublicKey::new(key.public().key_data().clone(), comment));
        Self {
            kind,
            public: public.collect(),
            keyring,
        }
    }

    /// Which one this is.
    #[must_use]
    pub fn kind(&self) -> CaKind {
        self.kind
    }

    /// The key that signs.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.signer().public()
    }

    /// The keys that others are to trust, each with the comment `rproxy user CA CLUSTER` or
    /// `rproxy host CA CLUSTER`: one, or during a rotation the old one and the new one.
    #[must_use]
    pub fn public_keys(&self) -> &[PublicKey] {
        &self.public
    }

    /// Keys that it had before and that are kept for a rollback. They are not trusted.
    #[must_use]
    pub fn kept_keys(&self) -> &[PublicKey] {
        &self.keyring.kept
    }

    /// The agent that has one of these keys; `None` for one in a file.
    #[must_use]
    pub fn agent_of(&self, key: &PublicKey) -> Option<&AgentSocket> {
        let key = self
            .keys()
            .find(|one| one.public().key_data() == key.key_data());
        key?.agent()
    }

    /// The same keys, for verifying certificates.
    #[must_use]
    pub fn trusted(&self) -> TrustedKeys {
        self.public.iter().cloned().collect()
    }

    /// Where its rotation stands.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        self.keyring.rotation
    }

    /// Whether the key that signs is within reach: an agent that has it is asked whether it lists it.
    /// Blocks for up to ten seconds then.
    ///
    /// # Errors
    /// Says what is wrong with the agent.
    pub fn check_key(&self) -> Result<(), CaError> {
        self.signer().check(SignTimeout::Connection)
    }

    /// Whether the key that signs does so: an agent that has it is asked for a signature. Blocks for up
    /// to ten seconds then.
    ///
    /// # Errors
    /// Says what is wrong with the agent.
    pub fn try_key(&self) -> Result<(), CaError> {
        self.signer().prove(SignTimeout::Connection)
    }

    pub(super) fn sign(
        &self,
        template: &CertTemplate,
        patience: SignTimeout,
    ) -> Result<Certificate, CaError> {
        self.signer().sign(template, patience)
    }

    /// Signs for a process that talks to the network and is not trusted: `data` is what a host
    /// certificate of the proxy has before its signature, or is not signed. The user CA signs
    /// nothing that way. `now` is in seconds since the epoch. Blocks for as long as the key takes, ten
    /// seconds at most.
    ///
    /// # Errors
    /// When it is anything else, or the key does not sign.
    pub fn sign_for_proxy(&self, data: &[u8], now: u64) -> Result<Signature, CaError> {
        if self.kind != CaKind::Host {
            return Err(UnsignedError::OtherAuthority.into());
        }
        check_proxy_host(data, self.public_key(), now)?;
        self.signer().sign_bytes(data, SignTimeout::Connection)
    }

    pub(super) fn signer(&self) -> &CaKey {
        let new = self.keyring.new.as_ref();
        let signs = self.keyring.rotation.signs_with(self.kind);
        new.filter(|_| signs == Which::New)
            .unwrap_or(&self.keyring.old)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &CaKey> {
        std::iter::once(&self.keyring.old).chain(&self.keyring.new)
    }
}
