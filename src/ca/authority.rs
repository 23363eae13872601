//! The two CAs of an installation, opened from its data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssh_key::{Certificate, HashAlg, PublicKey, Signature};

use super::CaKind;
use super::agent_key::SignTimeout;
use super::agent_key_config::{AgentSocket, CaKeys};
use super::error::CaError;
use super::import::{ImportMode, ImportedKey};
use super::key::CaKey;
use super::keyring::Keyring;
use super::keystore::{Keystore, Private};
use super::ledger::{self, IssueRecord, Ledger};
use super::outstanding::{self, Outstanding};
use super::rotation::{MoveError, Rotation, Which};
use crate::cert::{
    CertTemplate, HostRequest, RequestError, TrustedKeys, UnsignedError, UserRequest,
    check_proxy_host,
};
use crate::model::{ClusterName, Serial};
use crate::sys::clock::Clock;

/// What there is to know about an installation before its CAs can be opened.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'c> {
    /// Where its files are.
    pub data_dir: &'c Path,
    /// Its name.
    pub cluster: &'c ClusterName,
    /// The CAs' keys that agents have.
    pub ca_keys: &'c CaKeys,
    /// The time.
    pub clock: Clock,
}

impl Installation<'_> {
    /// The keys, locked for everybody else. Opened anew for each change.
    fn keystore(&self) -> Result<Keystore<'_>, CaError> {
        Keystore::open(*self)
    }

    /// The comment of a CA's keys.
    pub(super) fn comment(&self, kind: CaKind) -> String {
        format!("rproxy {kind} CA {}", self.cluster)
    }
}

/// One CA. It signs what [`Authorities`] and [`super::HostCertIssuer`] have checked.
#[derive(Debug)]
pub struct Authority {
    kind: CaKind,
    keyring: Keyring,
    /// What others are to trust, with a comment that names it.
    public: Vec<PublicKey>,
}

impl Authority {
    fn open(
        keystore: &Keystore<'_>,
        kind: CaKind,
        comment: &str,
        now: u64,
    ) -> Result<Self, CaError> {
        Ok(Self::of(kind, keystore.keyring(kind, now)?, comment))
    }

    /// The CA with these keys.
    pub(super) fn of(kind: CaKind, keyring: Keyring, comment: &str) -> Self {
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

    /// Keys that it had before and that are kept for a way back: nobody trusts them.
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

/// A key that was made for a CA, or taken from an agent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which CA.
    pub kind: CaKind,
    /// Its public half.
    pub key: PublicKey,
}

/// A certificate and the line that the ledger has of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, ready to be handed out.
    pub certificate: Certificate,
    /// What was recorded of it; what an audit event tells.
    pub record: IssueRecord,
}

/// Both CAs and the ledger of what they issued.
#[derive(Debug)]
pub struct Authorities {
    user: Arc<Authority>,
    host: Arc<Authority>,
    ledger: Ledger,
    state_files: [PathBuf; 2],
    clock: Clock,
}

impl Authorities {
    /// Opens the CAs of a data directory. Nothing is made that is not there.
    ///
    /// # Errors
    /// [`CaError::None`] and [`CaError::NoneOf`] where there are none. When the data directory, its `ca`
    /// directory or a key file may be read by others, a key file is broken, encrypted or without its
    /// private half, the keys are not those of the configuration, the ledger is damaged or knows of
    /// more than there is, or the disk refuses. An agent is asked only where its key is used first.
    pub fn open(installation: &Installation<'_>) -> Result<Self, CaError> {
        Self::of_keystore(installation, &installation.keystore()?)
    }

    /// The same for the running proxy, which signs with one key: the private half of the host
    /// CA's key that signs now is read, no other file with a private key is. Certificates of the
    /// user CA are refused.
    ///
    /// # Errors
    /// As [`Self::open`]; what is in files that are not read is not looked at.
    pub fn open_for_proxy(installation: &Installation<'_>) -> Result<Self, CaError> {
        let keystore = installation.keystore()?.reading(Private::ForProxy);
        Self::of_keystore(installation, &keystore)
    }

    /// Makes the CAs that are missing, and the directory; gives them all, and the keys that
    /// were made. Several processes may do so at once: one of them makes the keys, the others find them.
    ///
    /// # Errors
    /// As [`Self::open`]. Nothing that exists is overwritten.
    pub fn make(installation: &Installation<'_>) -> Result<(Self, Vec<Made>), CaError> {
        let keystore = Keystore::make(*installation)?;
        let mut made = Vec::new();
        for kind in [CaKind::User, CaKind::Host] {
            let key = keystore.make_key(kind, &installation.comment(kind))?;
            made.extend(key.map(|key| Made { kind, key }));
        }
        Ok((Self::of_keystore(installation, &keystore)?, made))
    }

    fn of_keystore(
        installation: &Installation<'_>,
        keystore: &Keystore<'_>,
    ) -> Result<Self, CaError> {
        let now = installation.clock.unix_seconds();
        let open =
            |kind| Authority::open(keystore, kind, &installation.comment(kind), now).map(Arc::new);
        Ok(Self {
            user: open(CaKind::User)?,
            host: open(CaKind::Host)?,
            ledger: Ledger::new(installation.data_dir.join(ledger::FILE_NAME)),
            state_files: keystore.state_files(),
            clock: installation.clock,
        })
    }

    /// Moves the rotation of one CA, under the lock of the data directory; gives where it
    /// stood and where it stands. `change` is given the former, with what was due already done, the
    /// number of the key that was kept last, and the time.
    ///
    /// # Errors
    /// [`CaError::Move`] where the rotation does not go that way; nothing has changed then. Otherwise
    /// as [`Self::open`].
    pub fn rotate(
        installation: &Installation<'_>,
        kind: CaKind,
        change: impl FnOnce(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), CaError> {
        let now = installation.clock.unix_seconds();
        let keystore = installation.keystore()?;
        keystore.rotate(kind, &installation.comment(kind), now, |rotation, kept| {
            change(rotation, kept, now)
        })
    }

    /// Removes the keys that rotations have left, for good; gives what they were.
    ///
    /// # Errors
    /// When the data directory cannot be used, or the disk refuses.
    pub fn remove_kept(
        installation: &Installation<'_>,
        kind: CaKind,
    ) -> Result<Vec<PublicKey>, CaError> {
        installation.keystore()?.remove_kept(kind)
    }

    /// Takes in a key that exists elsewhere, under the lock of the data directory; gives the key that
    /// the CA had, if it had one, and where its rotation stands now. The data directory is made
    /// where it is missing; no key is.
    ///
    /// # Errors
    /// When there is a key and the mode does not say that it may go, a rotation is under way, the
    /// configuration says otherwise, or the key does not sign. Nothing has changed then.
    pub fn import(
        installation: &Installation<'_>,
        kind: CaKind,
        key: ImportedKey,
        mode: ImportMode,
    ) -> Result<(Option<PublicKey>, Rotation), CaError> {
        let now = installation.clock.unix_seconds();
        let keystore = Keystore::make(*installation)?;
        keystore.import(kind, &installation.comment(kind), now, key, mode)
    }

    /// The files that change when a rotation moves; they may not be there.
    #[must_use]
    pub fn state_files(&self) -> [PathBuf; 2] {
        self.state_files.clone()
    }

    /// When a rotation next moves by itself, in seconds since the epoch: then it is time to open the
    /// CAs again.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let both = [&self.user, &self.host].into_iter();
        both.filter_map(|one| Some(one.rotation().due()?.0)).min()
    }

    /// Certificates that are good still and that nothing of the signing key has replaced yet: what
    /// would be refused if the rotation ended now. Empty in standby.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn outstanding(&self, kind: CaKind) -> Result<Vec<Outstanding>, CaError> {
        let authority = self.of(kind);
        let fingerprint = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
        let signing = fingerprint(authority.public_key());
        let leaving: Vec<_> = authority.public_keys().iter().map(fingerprint).collect();
        let leaving = leaving.into_iter().filter(|key| *key != signing).collect();
        let now = self.clock.unix_seconds();
        outstanding::find(self.ledger.path(), kind, &leaving, now)
    }

    /// One of the two.
    #[must_use]
    pub fn of(&self, kind: CaKind) -> &Arc<Authority> {
        match kind {
            CaKind::User => &self.user,
            CaKind::Host => &self.host,
        }
    }

    /// Signs a user certificate: a fresh serial, valid from a minute ago for the request's time,
    /// its line in the ledger before it is returned.
    ///
    /// # Errors
    /// When the request asks for what no certificate may have, or the ledger cannot be written.
    pub fn issue_user(&self, request: UserRequest) -> Result<Issued, CaError> {
        let now = self.clock.unix_seconds();
        self.issue(&self.user, |serial| request.clone().template(serial, now))
    }

    /// Signs a host certificate, as [`Self::issue_user`].
    ///
    /// # Errors
    /// As [`Self::issue_user`].
    pub fn issue_host(&self, request: HostRequest) -> Result<Issued, CaError> {
        let now = self.clock.unix_seconds();
        self.issue(&self.host, |serial| request.clone().template(serial, now))
    }

    fn issue(
        &self,
        authority: &Authority,
        template: impl Fn(Serial) -> Result<CertTemplate, RequestError>,
    ) -> Result<Issued, CaError> {
        let (certificate, record) = self.ledger.issue(|serial| {
            let certificate = authority.sign(&template(serial)?, SignTimeout::Person)?;
            let record = self.record(authority, serial, &certificate);
            Ok((certificate, record))
        })?;
        Ok(Issued {
            certificate,
            record,
        })
    }

    fn record(&self, authority: &Authority, serial: Serial, of: &Certificate) -> IssueRecord {
        let options = of.critical_options().iter();
        IssueRecord {
            time: self.clock.now(),
            kind: authority.kind,
            serial,
            key_id: of.key_id().to_owned(),
            principals: of.valid_principals().to_vec(),
            valid_after: of.valid_after(),
            valid_before: of.valid_before(),
            public_key: of.public_key().fingerprint(HashAlg::Sha256).to_string(),
            ca: of.signature_key().fingerprint(HashAlg::Sha256).to_string(),
            critical_options: options
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}
