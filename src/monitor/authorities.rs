//! The CAs, which this process alone opens, and the rotation of their keys, which it follows:
//! whoever moves it, and when it is due.
//!
//! Workers have the public halves, and are told when those change.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ssh_key::HashAlg;
use tokio::sync::mpsc;

use super::event::MonitorEvent;
use crate::audit::{AuditEvent, AuditSink as _, DeferredLog};
use crate::ca::{Authorities, Authority, CaError, CaKind, KeyOwner, Made, RevocationLog};
use crate::config::Config;
use crate::ipc::PublicCaKeys;
use crate::model::chain;
use crate::sys::account::Actor;
use crate::sys::clock::Clock;
use crate::sys::watch::FileWatch;

/// How often the state files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// The CAs as they are now; none where they could not be opened. Clones share them.
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

    /// What everybody may know of them.
    pub(super) fn keys(&self) -> Option<PublicCaKeys> {
        self.get().map(|authorities| keys(&authorities))
    }
}

/// Opens the CAs, and makes them at the first start; says so loudly where their keys cannot
/// sign. Without the host CA's key there is nothing to show to clients; the user CA's key
/// only has to be there when `auth sign --user` wants it.
///
/// # Errors
/// When the CAs cannot be opened, or the host CA's key does not sign.
pub(super) fn open(config: &Config) -> Result<Authorities, CaError> {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation, &audit);
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

/// Looks whether [`open`] could. Agents that have the keys are asked whether they sign, unless a proxy
/// runs, which has asked them.
///
/// # Errors
/// As [`open`].
pub(super) fn look(config: &Config, is_running: bool) -> Result<(), CaError> {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation, &audit);
    for kind in [CaKind::User, CaKind::Host] {
        match Authority::open(&installation, kind) {
            Ok(authority) if kind == CaKind::Host && !is_running => authority.try_key()?,
            Err(CaError::None(_) | CaError::NoneOf { .. }) => owner.could_make(kind)?,
            opened => drop(opened?),
        }
    }
    Ok(())
}

/// Looks whether [`rely_on_revocations`] could.
///
/// # Errors
/// As [`rely_on_revocations`].
pub(super) fn look_at_revocations(config: &Config) -> Result<(), CaError> {
    let log = RevocationLog::new(&config.data_dir, Clock::System);
    log.read().map(drop)
}

/// Has the ledger know how far the revocations are, which nobody serves without.
///
/// # Errors
/// When they are damaged, or older than the ledger knows.
pub(super) fn rely_on_revocations(config: &Config) -> Result<(), CaError> {
    let log = RevocationLog::new(&config.data_dir, Clock::System);
    log.settle().map(drop)
}

/// Where the events of the CAs go.
fn audit(config: &Config) -> DeferredLog {
    DeferredLog::new(&config.data_dir, &config.cluster_name, Clock::System)
}

/// Says that a CA was made, also in the audit log.
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

/// Moves rotations on when they are due, and opens the CAs again whenever one moves, as long as somebody wants to know. What
/// cannot be opened leaves everything as it is, and is tried again. On a thread of its own: whoever
/// holds the lock of the data directory is waited for.
pub(super) fn follow(config: &Config, current: &Current, events: &mpsc::Sender<MonitorEvent>) {
    let installation = config.installation(Clock::System);
    let audit = audit(config);
    let owner = KeyOwner::new(installation, &audit);
    let (mut watch, mut due) = (None, None);
    // Between opening them and now, somebody may have moved it.
    let mut is_stale = true;
    let mut is_told = false;
    while !events.is_closed() {
        let changed = watch.as_mut().is_some_and(FileWatch::changed);
        let is_due = due.is_some_and(|due| due <= Clock::System.unix_seconds());
        if changed || is_due || is_stale {
            // The watch first: what is moved in between is read twice, not never.
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
