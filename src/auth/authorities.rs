//! The CAs, which only this process opens, and the rotation of their keys. A rotation's steps are
//! noticed, by whichever process they are made, and the steps that are due are made here.
//!
//! Workers have the public keys, and are informed when those change.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ssh_key::HashAlg;

use crate::audit::{AuditEvent, AuditSink};
use crate::ca::{Authorities, Authority, CaError, CaKind, CaRecords, Installation, KeyOwner, Made};
use crate::config::Config;
use crate::ipc::PublicCaKeys;
use crate::model::chain;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::fs::append_private;
use crate::sys::watch::FileWatch;

/// How often the state files are checked.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often a step that is due, and waits for nodes, is tried again, in seconds.
const RETRY: u64 = 5;

/// The CAs as they are now. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct CurrentAuthorities(Arc<RwLock<Arc<Authorities>>>);

impl CurrentAuthorities {
    pub(super) fn new(authorities: Authorities) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(authorities))))
    }

    /// The CAs, as they were opened last.
    pub(super) fn now(&self) -> Arc<Authorities> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, authorities: Authorities) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authorities);
    }

    /// The CAs' public keys.
    pub(super) fn keys(&self) -> PublicCaKeys {
        keys(&self.now())
    }
}

/// Opens the CAs, and creates them at the first start; logs an error if their keys cannot sign.
/// Without the host CA's key there is no certificate for clients; the user CA's key is needed only
/// when `auth sign --user` uses it.
///
/// # Errors
/// When the CAs cannot be opened, or the host CA's key does not sign.
pub(super) fn open(
    config: &Config,
    records: &CaRecords,
    audit: &dyn AuditSink,
) -> Result<Authorities, CaError> {
    let installation = installation(config, records);
    let owner = KeyOwner::new(installation.clone(), audit);
    let opened = owner.tick().and_then(|()| open_keys(config, &installation));
    let authorities = match opened {
        Err(CaError::None(_) | CaError::NoneOf { .. }) => {
            let made = owner.make()?;
            made.iter().for_each(|one| tell(config, audit, one));
            open_keys(config, &installation)?
        }
        opened => opened?,
    };
    authorities.of(CaKind::Host).try_key()?;
    if let Err(error) = authorities.of(CaKind::User).check_key() {
        tracing::warn!(
            error = %chain(&error),
            "the user CA's key is out of reach: no user certificates can be signed"
        );
    }
    Ok(authorities)
}

/// Opens the CAs with the keys that this process signs with: the user CA's only where people sign in.
fn open_keys(config: &Config, installation: &Installation<'_>) -> Result<Authorities, CaError> {
    match config.auth.authentication.has_sign_in() {
        true => Authorities::open_for_people(installation),
        false => Authorities::open_for_proxy(installation),
    }
}

/// Checks whether [`open`] could succeed. Agents that hold the keys are asked whether they sign,
/// unless a proxy runs, which has asked them.
///
/// # Errors
/// As [`open`].
pub(super) fn look(
    config: &Config,
    audit: &dyn AuditSink,
    is_running: bool,
) -> Result<(), CaError> {
    let installation = config.installation(Clock::System);
    let owner = KeyOwner::new(installation.clone(), audit);
    for kind in [CaKind::User, CaKind::Host] {
        match Authority::open(&installation, kind) {
            Ok(authority) if kind == CaKind::Host && !is_running => authority.try_key()?,
            Err(CaError::None(_) | CaError::NoneOf { .. }) => owner.could_make(kind)?,
            opened => drop(opened?),
        }
    }
    Ok(())
}

/// What is known of the installation, with its records.
fn installation<'c>(config: &'c Config, records: &CaRecords) -> Installation<'c> {
    Installation {
        records: records.clone(),
        ..config.installation(Clock::System)
    }
}

/// Logs and audits that a CA was created.
fn tell(config: &Config, audit: &dyn AuditSink, made: &Made) {
    let fingerprint = made.key.fingerprint(HashAlg::Sha256).to_string();
    let data_dir = &config.data_dir;
    tracing::info!("made the {} CA in {data_dir}: {fingerprint}", made.kind);
    let event = AuditEvent::AuthorityCreated {
        kind: made.kind.into(),
        fingerprint,
        how: "serve",
        actor: Actor::of_this_process(),
    };
    if let Err(error) = audit.emit(&event) {
        tracing::error!(error = %chain(&error), "cannot write the audit log");
    }
}

/// Makes the file of the ledger if it is missing: a confined process can write to it, and cannot make it.
///
/// # Errors
/// When it cannot be made.
pub(super) fn make_ledger(config: &Config) -> Result<(), CaError> {
    append_private(&config.data_dir.ledger())?;
    Ok(())
}

fn keys(authorities: &Authorities) -> PublicCaKeys {
    let of = |kind| authorities.of(kind).public_keys().to_vec();
    PublicCaKeys {
        user: of(CaKind::User),
        host: of(CaKind::Host),
        signs: authorities.of(CaKind::Host).public_key().clone(),
    }
}

/// Makes the steps of rotations that are due, and opens the CAs again after each step, until the sender of
/// `stop` is dropped, or `tell` says that it is enough; it is given the keys whenever they have
/// changed. If the CAs cannot be opened, nothing changes, and it tries again. Runs on a thread of its
/// own, because it waits for the lock of the data directory.
pub(super) fn follow(
    config: &Config,
    records: &CaRecords,
    current: &CurrentAuthorities,
    audit: &dyn AuditSink,
    stop: &Receiver<()>,
    mut tell: impl FnMut(PublicCaKeys) -> ControlFlow<()>,
) {
    let installation = installation(config, records);
    let owner = KeyOwner::new(installation.clone(), audit);
    let (mut watch, mut due) = (None, None);
    // Another process may have moved the rotation after the CAs were opened.
    let mut is_stale = true;
    let mut is_told = false;
    loop {
        let changed = watch.as_mut().is_some_and(FileWatch::changed);
        let is_due = due.is_some_and(|due| due <= Clock::System.unix_seconds());
        if changed || is_due || is_stale {
            // The watch begins before the files are read: a change in between is read twice instead
            // of missed.
            let next = FileWatch::new(current.now().state_files());
            let opened = owner.tick().and_then(|()| open_keys(config, &installation));
            match opened {
                Ok(authorities) => {
                    let soon = Clock::System.unix_seconds().saturating_add(RETRY);
                    due = authorities.due().map(|due| due.max(soon));
                    watch = Some(next);
                    (is_stale, is_told) = (false, false);
                    let (before, after) = (current.keys(), keys(&authorities));
                    current.replace(authorities);
                    if before != after && tell(after).is_break() {
                        return;
                    }
                }
                Err(error) => {
                    if !is_told {
                        tracing::error!(error = %chain(&error), "cannot follow the rotation");
                    }
                    (is_stale, is_told) = (true, true);
                }
            }
        }
        if stop.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::DeferredLog;
    use crate::ca::RotationPhase;

    /// The CAs of a new installation, as they were opened at the start.
    fn opened(directory: &Path) -> (Config, CurrentAuthorities) {
        let data = directory.join("data");
        let text = "cluster_name: example.test\n";
        let loaded = crate::config::parse(Path::new("f"), text, Some(&data));
        let config = loaded.unwrap().config;
        let authorities = open(&config, &records(&config), &audit(&config)).unwrap();
        (config, CurrentAuthorities::new(authorities))
    }

    fn records(config: &Config) -> CaRecords {
        config.installation(Clock::System).records
    }

    fn audit(config: &Config) -> DeferredLog {
        DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System)
    }

    /// Moves the rotation of the host CA, as `rproxy auth rotate` does.
    fn rotate(config: &Config, to: RotationPhase) {
        let audit = audit(config);
        let owner = KeyOwner::new(config.installation(Clock::System), &audit);
        let change =
            |rotation: &crate::ca::Rotation, kept, now| rotation.go(CaKind::Host, to, kept, now);
        owner.rotate(CaKind::Host, change).unwrap();
    }

    /// The first keys that are told.
    fn told(config: &Config, current: &CurrentAuthorities) -> PublicCaKeys {
        let mut told = None;
        let (_going_on, stop) = std::sync::mpsc::channel();
        follow(
            config,
            &records(config),
            current,
            &audit(config),
            &stop,
            |keys| {
                told = Some(keys);
                ControlFlow::Break(())
            },
        );
        told.unwrap()
    }

    /// A step that another process made after the CAs were opened is noticed at once, and each step
    /// says which keys are trusted and which one signs.
    #[test]
    fn a_step_of_a_rotation_is_told_and_in_force() {
        let directory = crate::sys::fs::private_tempdir();
        let (config, current) = opened(directory.path());
        let before = current.keys();
        assert_eq!((before.user.len(), before.host.len()), (1, 1));
        rotate(&config, RotationPhase::Init);
        let init = told(&config, &current);
        assert_eq!(init.host.len(), 2, "the new key is trusted too");
        assert!(init.host.contains(&before.signs));
        assert_eq!((&init.signs, &init.user), (&before.signs, &before.user));
        assert_eq!(current.keys(), init);
        rotate(&config, RotationPhase::UpdateClients);
        rotate(&config, RotationPhase::UpdateServers);
        let changed = told(&config, &current);
        assert_ne!(changed.signs, before.signs);
        assert!(init.host.contains(&changed.signs));
        assert_eq!(current.keys(), changed);
    }
}
