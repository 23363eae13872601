//! What the commands read and change of an installation's CAs: the only place that opens their keys, the
//! ledger, the revocations and the audit log for a command.
//!
//! A command does this itself, with the files of the data directory, even if a proxy runs: locks on
//! the files prevent conflicts. Each method is one request with its answer and its audit events, so
//! that a process that owns those files can take over later.

use std::sync::Arc;

use ssh_key::{HashAlg, PublicKey};

use super::super::{Context, Exit, Failure, auditing, existing_data_dir};
use super::events::{lifted, revoked, rotated};
use super::failure::ca_failure;
use super::signing::CertSigning;
use crate::audit::{AuditEvent, AuditLog, DeferredLog};
use crate::ca::{
    Authorities, Authority, CaError, CaKind, ImportMode, ImportedKey, Installation, IssueRecord,
    KeyOwner, Made, MoveError, NodeKeys, Outstanding, RevocationRecord, Revocations, RevokeOutcome,
    Revoked, Rotation, RotationPhase, TtlLimits, outstanding,
};
use crate::model::Serial;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::fs::FileLock;

/// Asks about the CAs, the ledger and the revocations of one installation.
#[derive(Clone, Debug)]
pub(in crate::cli) struct AuthClient<'c> {
    context: &'c Context,
    installation: Installation<'c>,
}

impl<'c> AuthClient<'c> {
    /// Nothing is opened yet.
    pub(in crate::cli) fn new(context: &'c Context) -> Self {
        Self {
            context,
            installation: context.config.installation(Clock::System),
        }
    }

    /// The CAs, after a tick: where no proxy runs, no other process moves a rotation on.
    ///
    /// # Errors
    /// What is wrong with the data directory or a key in it, with a hint.
    pub(in crate::cli) fn authorities(&self) -> Result<Authorities, Failure> {
        self.own(|owner| owner.tick())
            .and_then(|()| Authorities::open(&self.installation))
            .map_err(|error| ca_failure("cannot open the CAs", error))
    }

    /// One CA as it lies there; `None` where it was never made. Nothing is changed.
    ///
    /// # Errors
    /// As [`Authority::open`].
    pub(super) fn authority(&self, kind: CaKind) -> Result<Option<Authority>, CaError> {
        match Authority::open(&self.installation, kind) {
            Err(CaError::None(_) | CaError::NoneOf { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Makes the CAs that are missing; gives them all, and which were made. `how` is the command, for the
    /// audit log.
    ///
    /// # Errors
    /// When they cannot be made or opened, or the audit log cannot be written.
    pub(in crate::cli) fn make(
        &self,
        how: &'static str,
    ) -> Result<(Authorities, Vec<Made>), Failure> {
        let made = self.own(|owner| owner.make()).and_then(|made| {
            let authorities = Authorities::open(&self.installation)?;
            Ok((authorities, made))
        });
        let (authorities, made) = made.map_err(|e| ca_failure("cannot make the CAs", e))?;
        for one in &made {
            self.tell(&AuditEvent::AuthorityCreated {
                kind: one.kind.into(),
                fingerprint: fingerprint(&one.key),
                how,
                actor: Actor::of_this_process(),
            })?;
        }
        Ok((authorities, made))
    }

    /// Moves the rotation of one CA, as [`KeyOwner::rotate`] does.
    ///
    /// # Errors
    /// When it does not go that way, or the audit log cannot be written.
    pub(super) fn rotate(
        &self,
        kind: CaKind,
        change: impl FnOnce(&Rotation, Option<u64>, u64) -> Result<Rotation, MoveError>,
    ) -> Result<(Rotation, Rotation), Failure> {
        let moved = self.own(|owner| owner.rotate(kind, change));
        let failed = |error| ca_failure(&format!("cannot rotate the {kind} CA"), error);
        let (before, after) = moved.map_err(failed)?;
        self.tell(&rotated(kind, before.phase(), &after))?;
        Ok((before, after))
    }

    /// Takes in a key that exists elsewhere, as [`KeyOwner::import`] does. `refused` is what is told
    /// where that is impossible.
    ///
    /// # Errors
    /// When it is, or the audit log cannot be written.
    pub(super) fn import(
        &self,
        kind: CaKind,
        key: ImportedKey,
        mode: ImportMode,
        refused: &str,
    ) -> Result<(Option<PublicKey>, Rotation), Failure> {
        let imported = fingerprint(key.public());
        let done = self.own(|owner| owner.import(kind, key, mode));
        let (before, rotation) = done.map_err(|error| ca_failure(refused, error))?;
        let replaced = before
            .as_ref()
            .filter(|_| rotation.phase() == RotationPhase::Standby);
        self.tell(&AuditEvent::AuthorityImported {
            kind: kind.into(),
            fingerprint: imported,
            replaced: replaced.map(fingerprint),
            actor: Actor::of_this_process(),
        })?;
        if rotation.phase() == RotationPhase::Init {
            self.tell(&rotated(kind, RotationPhase::Standby, &rotation))?;
        }
        Ok((before, rotation))
    }

    /// Removes the keys that rotations have left; gives their fingerprints.
    ///
    /// # Errors
    /// When they cannot be removed, or the audit log cannot be written.
    pub(super) fn remove_kept(&self, kind: CaKind) -> Result<Vec<String>, Failure> {
        let removed = self.own(|owner| owner.remove_kept(kind));
        let failed = |error| ca_failure("cannot remove the keys that were kept", error);
        let removed: Vec<_> = removed.map_err(failed)?.iter().map(fingerprint).collect();
        for fingerprint in &removed {
            self.tell(&AuditEvent::AuthorityKeyRemoved {
                kind: kind.into(),
                fingerprint: fingerprint.clone(),
                actor: Actor::of_this_process(),
            })?;
        }
        Ok(removed)
    }

    /// What is revoked.
    ///
    /// # Errors
    /// When there is no data directory, or its revocations cannot be read.
    pub(super) fn revocations(&self) -> Result<Revocations, Failure> {
        existing_data_dir(self.context)?;
        let read = self.installation.records.revoked.read();
        read.map_err(|error| ca_failure("cannot read the revocations", error))
    }

    /// Keeps other commands from revoking until it is dropped.
    ///
    /// # Errors
    /// When there is no data directory, or the file cannot be made or locked.
    pub(super) fn lock_revocations(&self) -> Result<FileLock, Failure> {
        existing_data_dir(self.context)?;
        let locked = self.installation.records.revoked.lock();
        locked.map_err(|error| ca_failure("cannot lock the revocations", error))
    }

    /// Revokes, and writes to the audit log what was not revoked before.
    ///
    /// # Errors
    /// When either cannot be written.
    pub(super) fn revoke(
        &self,
        wanted: Vec<Revoked>,
        reason: Option<&str>,
    ) -> Result<Vec<RevokeOutcome>, Failure> {
        let audit = self.audit()?;
        let actor = Actor::of_this_process();
        let log = &self.installation.records.revoked;
        let outcomes = log
            .revoke(wanted, actor.person(), reason)
            .map_err(|error| ca_failure("cannot revoke", error))?;
        for outcome in &outcomes {
            if let RevokeOutcome::New(record) = outcome {
                audit.emit(&revoked(record, &actor)).map_err(|error| {
                    Failure::new(Exit::Failed, "it is revoked, but the audit log lacks it")
                        .because(error)
                })?;
            }
        }
        Ok(outcomes)
    }

    /// Lifts revocations, and writes that to the audit log; gives the lines that lift.
    ///
    /// # Errors
    /// When either cannot be written.
    pub(super) fn lift(
        &self,
        wanted: Vec<Revoked>,
        reason: Option<&str>,
    ) -> Result<Vec<RevocationRecord>, Failure> {
        let audit = self.audit()?;
        let actor = Actor::of_this_process();
        let log = &self.installation.records.revoked;
        let written = log
            .lift(wanted, actor.person(), reason)
            .map_err(|error| ca_failure("cannot lift the revocation", error))?;
        for event in written.iter().filter_map(|record| lifted(record, &actor)) {
            audit.emit(&event).map_err(|error| {
                Failure::new(Exit::Failed, "it is lifted, but the audit log lacks it")
                    .because(error)
            })?;
        }
        Ok(written)
    }

    /// Every certificate that was issued, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn issued(&self) -> Result<Vec<IssueRecord>, CaError> {
        self.installation.records.issued.issued()
    }

    /// Every certificate that was issued for a connection, oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn issued_for_connections(&self) -> Result<Vec<IssueRecord>, CaError> {
        self.installation.records.issued.issued_for_connections()
    }

    /// How many certificates were issued for connections.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn count_for_connections(&self) -> Result<u64, CaError> {
        self.installation.records.issued.count_for_connections()
    }

    /// The certificate with this serial, whatever it was issued for.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn find(&self, serial: Serial) -> Result<Option<IssueRecord>, CaError> {
        self.installation.records.issued.find(serial)
    }

    /// Certificates that end with the key that leaves in a rotation.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn outstanding(&self, authority: &Authority) -> Result<Vec<Outstanding>, Failure> {
        let now = self.installation.clock.unix_seconds();
        outstanding(authority, &*self.installation.records.issued, now)
            .map_err(|error| ca_failure("cannot read what was issued", error))
    }

    /// What the nodes that have joined have of the CAs' keys.
    ///
    /// # Errors
    /// When the state is there and cannot be read.
    pub(super) fn node_keys(&self) -> Result<Vec<NodeKeys>, Failure> {
        let read = self.installation.records.nodes.node_keys();
        read.map_err(|error| ca_failure("cannot read what nodes have reported", error))
    }

    /// How long certificates of people may live.
    pub(super) fn limits(&self) -> TtlLimits {
        let config = &self.context.config;
        TtlLimits::new(config.policy(), config.auth.max_ttl)
    }

    /// Opens everything that certificates are issued with.
    ///
    /// # Errors
    /// When something of it cannot be opened.
    pub(in crate::cli) fn signing(&self) -> Result<CertSigning, Failure> {
        Ok(CertSigning {
            authorities: self.authorities()?,
            audit: self.audit()?,
            actor: Actor::of_this_process(),
            revocations: self.revocations()?,
            limits: self.limits(),
            ledger: Arc::clone(&self.installation.records.issued),
            clock: self.installation.clock,
        })
    }

    /// The audit log, for what a command does.
    ///
    /// # Errors
    /// When it cannot be opened, with a hint.
    pub(super) fn audit(&self) -> Result<AuditLog, Failure> {
        auditing::log(self.context)
    }

    fn tell(&self, event: &AuditEvent) -> Result<(), Failure> {
        auditing::tell(self.context, event)
    }

    /// Does something to the keys, in the place of the process that owns them.
    fn own<T>(&self, act: impl FnOnce(&KeyOwner<'_>) -> Result<T, CaError>) -> Result<T, CaError> {
        let Installation {
            data_dir,
            cluster,
            clock,
            ..
        } = &self.installation;
        let audit = DeferredLog::new(data_dir, cluster, *clock);
        act(&KeyOwner::new(self.installation.clone(), &audit))
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}
