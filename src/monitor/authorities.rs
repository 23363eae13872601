//! The CAs, which only the monitor opens, and the rotation of their keys. The monitor notices a
//! rotation's steps, by whichever process they are made, and makes the steps that are due.
//!
//! Workers have the public keys, and are informed when those change.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ssh_key::HashAlg;
use tokio::sync::mpsc;

use super::event::MonitorEvent;
use crate::audit::{AuditEvent, AuditSink as _, DeferredLog};
use crate::ca::{Authorities, Authority, CaError, CaKind, KeyOwner, Made};
use crate::config::Config;
use crate::ipc::PublicCaKeys;
use crate::model::chain;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::watch::FileWatch;

/// How often the state files are checked.
const INTERVAL: Duration = Duration::from_millis(500);

/// The CAs as they are now; `None` if they could not be opened. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Current(Arc<RwLock<Option<Arc<Authorities>>>>);

impl Current {
    pub(super) fn of(authorities: Authorities) -> Self {
        Self(Arc::new(RwLock::new(Some(Arc::new(authorities)))))
    }

    pub(super) fn get(&self) -> Option<Arc<Authorities>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, authorities: Authorities) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(authorities));
    }

    /// The CAs' public keys.
    pub(super) fn keys(&self) -> Option<PublicCaKeys> {
        self.get().map(|authorities| keys(&authorities))
    }
}

/// Opens the CAs, and creates them at the first start; logs an error if their keys cannot sign.
/// Without the host CA's key there is no certificate for clients; the user CA's key is needed only
/// when `auth sign --user` uses it.
///
/// # Errors
/// When the CAs cannot be opened, or the host CA's key does not sign.
pub(super) fn open(config: &Config) -> Result<Authorities, CaError> {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation.clone(), &audit);
    let opened = owner
        .tick()
        .and_then(|()| Authorities::open_for_proxy(&installation));
    let authorities = match opened {
        Err(CaError::None(_) | CaError::NoneOf { .. }) => {
            let made = owner.make()?;
            made.iter().for_each(|one| tell(config, one));
            Authorities::open_for_proxy(&installation)?
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

/// Checks whether [`open`] could succeed. Agents that hold the keys are asked whether they sign,
/// unless a proxy runs, which has asked them.
///
/// # Errors
/// As [`open`].
pub(super) fn look(config: &Config, is_running: bool) -> Result<(), CaError> {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation.clone(), &audit);
    for kind in [CaKind::User, CaKind::Host] {
        match Authority::open(&installation, kind) {
            Ok(authority) if kind == CaKind::Host && !is_running => authority.try_key()?,
            Err(CaError::None(_) | CaError::NoneOf { .. }) => owner.could_make(kind)?,
            opened => drop(opened?),
        }
    }
    Ok(())
}

/// Checks whether [`rely_on_revocations`] could succeed.
///
/// # Errors
/// As [`rely_on_revocations`].
pub(super) fn look_at_revocations(config: &Config) -> Result<(), CaError> {
    let records = config.installation(Clock::System).records;
    records.revoked.check_copy()?;
    records.revoked.read().map(drop)
}

/// Writes the present length of the revocation list to the ledger. The proxy must not serve without
/// that.
///
/// # Errors
/// When the list is damaged, or older than the ledger says.
pub(super) fn rely_on_revocations(config: &Config) -> Result<(), CaError> {
    let records = config.installation(Clock::System).records;
    records.revoked.settle().map(drop)
}

/// The audit log for events of the CAs.
fn audit(config: &Config) -> DeferredLog {
    DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System)
}

/// Logs and audits that a CA was created.
fn tell(config: &Config, made: &Made) {
    let fingerprint = made.key.fingerprint(HashAlg::Sha256).to_string();
    let data_dir = &config.data_dir;
    tracing::info!("made the {} CA in {data_dir}: {fingerprint}", made.kind);
    let event = AuditEvent::AuthorityCreated {
        kind: made.kind.into(),
        fingerprint,
        how: "serve",
        actor: Actor::of_this_process(),
    };
    if let Err(error) = audit(config).emit(&event) {
        tracing::error!(error = %chain(&error), "cannot write the audit log");
    }
}

fn keys(authorities: &Authorities) -> PublicCaKeys {
    let of = |kind| authorities.of(kind).public_keys().to_vec();
    PublicCaKeys {
        user: of(CaKind::User),
        host: of(CaKind::Host),
        signs: authorities.of(CaKind::Host).public_key().clone(),
    }
}

/// Makes the steps of rotations that are due, and opens the CAs again after each step, until the event loop has
/// ended. If they cannot be opened, nothing changes, and it tries again. Runs on a thread of its own, because it
/// waits for the lock of the data directory.
pub(super) fn follow(config: &Config, current: &Current, events: &mpsc::Sender<MonitorEvent>) {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation.clone(), &audit);
    let (mut watch, mut due) = (None, None);
    // Another process may have moved the rotation after the CAs were opened.
    let mut is_stale = true;
    let mut is_told = false;
    while !events.is_closed() {
        let changed = watch.as_mut().is_some_and(FileWatch::changed);
        let is_due = due.is_some_and(|due| due <= Clock::System.unix_seconds());
        if changed || is_due || is_stale {
            // The watch begins before the files are read: a change in between is read twice instead
            // of missed.
            let next = current.get().map(|open| FileWatch::new(open.state_files()));
            let opened = owner
                .tick()
                .and_then(|()| Authorities::open_for_proxy(&installation));
            match opened {
                Ok(authorities) => {
                    due = authorities.due();
                    watch = next.or_else(|| Some(FileWatch::new(authorities.state_files())));
                    (is_stale, is_told) = (false, false);
                    let (before, after) = (current.keys(), keys(&authorities));
                    current.replace(authorities);
                    if before.as_ref() != Some(&after)
                        && events.blocking_send(MonitorEvent::Keys(after)).is_err()
                    {
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
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ca::RotationPhase;

    /// The CAs of a new installation, as they were opened at the start.
    fn opened(directory: &Path) -> (Config, Current) {
        let data = directory.join("data");
        let text = "cluster_name: example.test\n";
        let loaded = crate::config::parse(Path::new("f"), text, Some(&data));
        let config = loaded.unwrap().config;
        let current = Current::of(open(&config).unwrap());
        (config, current)
    }

    /// Moves the rotation of the host CA, as `rproxy auth rotate` does.
    fn rotate(config: &Config, to: RotationPhase) {
        let audit = audit(config);
        let owner = KeyOwner::new(config.installation(Clock::System), &audit);
        let change =
            |rotation: &crate::ca::Rotation, kept, now| rotation.go(CaKind::Host, to, kept, now);
        owner.rotate(CaKind::Host, change).unwrap();
    }

    /// The keys that the event loop is told of; the thread ends once nothing receives any more.
    fn told(config: &Config, current: &Current) -> PublicCaKeys {
        let (sender, mut events) = mpsc::channel(1);
        let (config, current) = (config.clone(), current.clone());
        std::thread::spawn(move || follow(&config, &current, &sender));
        let Some(MonitorEvent::Keys(keys)) = events.blocking_recv() else {
            panic!("nothing is told")
        };
        keys
    }

    /// A step that another process made after the CAs were opened is noticed at once, and each step
    /// says which keys are trusted and which one signs.
    #[test]
    fn a_step_of_a_rotation_is_told_and_in_force() {
        let directory = crate::sys::fs::private_tempdir();
        let (config, current) = opened(directory.path());
        let before = current.keys().unwrap();
        assert_eq!((before.user.len(), before.host.len()), (1, 1));
        rotate(&config, RotationPhase::Init);
        let init = told(&config, &current);
        assert_eq!(init.host.len(), 2, "the new key is trusted too");
        assert!(init.host.contains(&before.signs));
        assert_eq!((&init.signs, &init.user), (&before.signs, &before.user));
        assert_eq!(current.keys(), Some(init.clone()));
        rotate(&config, RotationPhase::UpdateClients);
        rotate(&config, RotationPhase::UpdateServers);
        let changed = told(&config, &current);
        assert_ne!(changed.signs, before.signs);
        assert!(init.host.contains(&changed.signs));
        assert_eq!(current.keys(), Some(changed));
    }

    /// The worker of a proxy that could not open its CAs gets the keys once they are there.
    #[test]
    fn cas_that_could_not_be_opened_are_taken_once_they_can() {
        let directory = crate::sys::fs::private_tempdir();
        let (config, current) = opened(directory.path());
        let closed = Current::default();
        assert_eq!(closed.keys(), None);
        let keys = told(&config, &closed);
        assert_eq!(Some(keys), current.keys());
        assert_eq!(closed.keys(), current.keys());
    }
}
