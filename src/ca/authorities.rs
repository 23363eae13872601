//! The two CAs of an installation, read from its data directory.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::agent_key::SignTimeout;
use super::authority::Authority;
use super::error::CaError;
use super::installation::Installation;
use super::keyring::PrivateKeys;
use super::keystore::Keystore;
use super::kind::CaKind;
use super::rotation_file;
use super::successors;
use crate::cert::{SignError, user_ca_template};
use crate::model::ClusterName;

/// Both CAs, as they were when they were opened.
#[derive(Debug)]
pub struct Authorities {
    user: Arc<Authority>,
    host: Arc<Authority>,
    state_files: [PathBuf; 2],
    successors: Vec<String>,
    /// Certificates of the host CA for the user CA's keys, once they were asked for.
    user_ca_proofs: OnceLock<Vec<String>>,
}

impl Authorities {
    /// Opens the CAs of a data directory. Nothing is made that is not there, and nothing is changed:
    /// [`super::KeyOwner::tick`] does what is due.
    ///
    /// # Errors
    /// [`CaError::None`] and [`CaError::NoneOf`] where there are none. When the data directory, its `ca`
    /// directory or a key file may be read by others, a key file is broken, encrypted or without its
    /// private half, the keys are not those of the configuration, the ledger is damaged or knows of
    /// more than there is, or the disk refuses. An agent is asked only where its key is used first.
    pub fn open(installation: &Installation<'_>) -> Result<Self, CaError> {
        Self::read(installation, PrivateKeys::All)
    }

    /// The same for the running proxy, which signs with one key: the private half of the host
    /// CA's key that signs now is read, no other file with a private key is. Certificates of the
    /// user CA are refused.
    ///
    /// # Errors
    /// As [`Self::open`]; what is in files that are not read is not looked at.
    pub fn open_for_proxy(installation: &Installation<'_>) -> Result<Self, CaError> {
        Self::read(installation, PrivateKeys::ForProxy)
    }

    /// The same for the running proxy where people sign in: the user CA's key that signs now is read
    /// too.
    ///
    /// # Errors
    /// As [`Self::open_for_proxy`].
    pub fn open_for_people(installation: &Installation<'_>) -> Result<Self, CaError> {
        Self::read(installation, PrivateKeys::ForPeople)
    }

    fn read(installation: &Installation<'_>, private: PrivateKeys) -> Result<Self, CaError> {
        let keystore = Keystore::read_only(installation.clone())?;
        let known = installation.records.issued.rotation_moves()?;
        let read = |kind| Authority::read(&keystore, kind, &known, private).map(Arc::new);
        Ok(Self {
            user: read(CaKind::User)?,
            host: read(CaKind::Host)?,
            state_files: rotation_file::paths(&keystore),
            successors: successors::lines(&keystore)?,
            user_ca_proofs: OnceLock::new(),
        })
    }

    /// Certificates in which each key of the host CA names the one that followed it, the oldest first, each in
    /// one line: a host that trusts an earlier key finds today's with them. At most 32, of 48 KiB
    /// together. Public.
    #[must_use]
    pub fn successors(&self) -> &[String] {
        &self.successors
    }

    /// Certificates in which the host CA's key that signs now names each key of the user CA of this cluster,
    /// each in one line: with them a host knows that the keys come from here. They are made once. Public.
    /// Blocks for as long as the key takes, ten seconds for each at most.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn user_ca_proofs(&self, cluster: &ClusterName) -> Result<Vec<String>, CaError> {
        if let Some(made) = self.user_ca_proofs.get() {
            return Ok(made.clone());
        }
        let mut lines = Vec::new();
        for key in self.user.public_keys() {
            let template = user_ca_template(cluster, key)?;
            let signer = self.host.signer();
            let certificate = signer.sign(&template, SignTimeout::Connection)?;
            lines.push(certificate.to_openssh().map_err(SignError::Key)?);
        }
        Ok(self.user_ca_proofs.get_or_init(|| lines).clone())
    }

    /// The files that change when a rotation moves; they may not be there.
    #[must_use]
    pub fn state_files(&self) -> [PathBuf; 2] {
        self.state_files.clone()
    }

    /// When a rotation next moves by itself, in seconds since the epoch: then it is time for
    /// [`super::KeyOwner::tick`], and to open the CAs again. In the past if the rotation waits for nodes.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let both = [&self.user, &self.host].into_iter();
        both.filter_map(|one| Some(one.rotation().due()?.0)).min()
    }

    /// One of the two.
    #[must_use]
    pub fn of(&self, kind: CaKind) -> &Arc<Authority> {
        match kind {
            CaKind::User => &self.user,
            CaKind::Host => &self.host,
        }
    }
}
