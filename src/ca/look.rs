//! The CAs as they lie on the disk: for whoever only wants to know how they stand.
//!
//! Makes nothing, writes nothing, and moves no rotation, also where one is due.

use std::sync::Arc;

use super::CaKind;
use super::agent_key::{AgentKey, SignTimeout};
use super::authority::{Authorities, Authority, Installation};
use super::error::CaError;
use super::keyring::Keyring;
use super::keystore::Keystore;
use super::rotation::{RotationPhase, Which};
use crate::sys::feasible;

/// A CA as it lies there.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its keys, and where its rotation stood when that was last written down.
    pub authority: Arc<Authority>,
    /// When the rotation should have moved by itself, and where to, if nobody has moved it since.
    pub overdue: Option<(u64, RotationPhase)>,
}

impl Authorities {
    /// Looks at one of the two; `None` where it was never made. No agent is asked, nothing is written.
    ///
    /// # Errors
    /// As [`Authorities::open`].
    pub fn look(installation: &Installation<'_>, kind: CaKind) -> Result<Option<Seen>, CaError> {
        let Some(keystore) = Keystore::look(*installation)? else {
            return Ok(None);
        };
        let rotation = keystore.read_state(kind)?;
        let new = match rotation.phase() {
            RotationPhase::Standby => None,
            RotationPhase::Rollback => keystore.look_at(kind, Which::New).ok().flatten(),
            RotationPhase::Init | RotationPhase::UpdateClients | RotationPhase::UpdateServers => {
                let gone = || CaError::NewKeyGone(keystore.private_path(kind, Which::New));
                Some(keystore.look_at(kind, Which::New)?.ok_or_else(gone)?)
            }
        };
        let Some(old) = keystore.look_at(kind, Which::Old)? else {
            return Ok(None);
        };
        keystore.check_named(kind, [&old].into_iter().chain(&new).map(|key| key.public()))?;
        let keyring = Keyring {
            rotation,
            old,
            new,
            kept: keystore.kept_keys(kind)?,
        };
        let now = installation.clock.unix_seconds();
        Ok(Some(Seen {
            authority: Arc::new(Authority::of(kind, keyring, &installation.comment(kind))),
            overdue: rotation.due().filter(|(at, _)| *at <= now),
        }))
    }

    /// Looks whether a CA that there is not yet could be made: where the configuration has its
    /// key in an agent, that has to hold it and sign.
    ///
    /// # Errors
    /// What is wrong with the agent, or with the directory.
    pub fn could_make(installation: &Installation<'_>, kind: CaKind) -> Result<(), CaError> {
        feasible::make_in(&installation.data_dir.join("ca"))?;
        if let Some(key) = &installation.ca_keys.of(kind).current {
            AgentKey::find(key, SignTimeout::Connection)?;
        }
        Ok(())
    }
}
