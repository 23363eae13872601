//! The steps of a rotation on the disk: makes the scheduled moves, and moves every key file to its
//! place.
//!
//! The state file is written before a key is deleted, and after one is created. After a crash in between,
//! the next tick completes the work; [`super::keyring`] reads the same keys before and after.

use super::error::CaError;
use super::issue_log::RotationMoves;
use super::key::CaKey;
use super::keystore::{Halves, Keystore};
use super::kind::CaKind;
use super::replaced_keys;
use super::rotation::{Rotation, RotationPhase, Which};
use super::rotation_file;
use super::successors;
use super::waiting;
use crate::audit::{AuditEvent, AuditSink};
use crate::sys::fs;

/// Moves a rotation on as far as its schedule says by now and nodes are ready, finishes what a crash has
/// left, and writes public key files that are missing; gives where the rotation stands then. A move is written to the audit log before its keys are touched. If that fails,
/// the rotation goes on all the same: the schedule is what was asked for.
pub(super) fn settle(
    keystore: &Keystore<'_>,
    kind: CaKind,
    known: &RotationMoves,
    audit: &dyn AuditSink,
) -> Result<Rotation, CaError> {
    let stored = finish(keystore, kind, rotation_file::read(keystore, kind, known)?)?;
    // An earlier version has begun the rotation, or a crash came in between.
    successors::settle(keystore, kind, &stored);
    let now = keystore.installation().now();
    let may_move = |rotation: &Rotation| waiting::may_move(keystore, kind, rotation, now);
    let advanced = stored.advanced(now, may_move);
    let has_moved = advanced != stored;
    if has_moved {
        rotation_file::store_move(keystore, kind, &advanced)?;
        let event = AuditEvent::AuthorityRotated {
            kind: kind.into(),
            from: stored.phase().name(),
            to: advanced.phase().name(),
            actor: None,
        };
        if let Err(error) = audit.emit(&event) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot write the audit log");
        }
    }
    let rotation = finish(keystore, kind, advanced)?;
    if has_moved {
        successors::settle(keystore, kind, &rotation);
    }
    keystore.complete(kind, Which::Old)?;
    if rotation.phase() != RotationPhase::Standby {
        keystore.complete(kind, Which::New)?;
    }
    Ok(rotation)
}

/// Puts every key where the phase wants it: one into the place in standby, the other aside. Can be
/// done again at any point.
pub(super) fn finish(
    keystore: &Keystore<'_>,
    kind: CaKind,
    rotation: Rotation,
) -> Result<Rotation, CaError> {
    match (rotation.bring(), rotation.keep()) {
        (Some(kept), _) => replaced_keys::bring_back(keystore, kind, kept)?,
        (None, Some(Which::Old)) => {
            replaced_keys::put_aside(keystore, kind, Which::New, rotation.moves())?;
            keystore.remove_new(kind)?;
        }
        (None, Some(Which::New)) => {
            move_in(keystore, kind, rotation.moves())?;
            keystore.remove_new(kind)?;
        }
        (None, None) => return Ok(rotation),
    }
    let settled = rotation.settled();
    rotation_file::store(keystore, kind, &settled)?;
    Ok(settled)
}

/// Has the new key take the old one's place, which is put aside under this number.
fn move_in(keystore: &Keystore<'_>, kind: CaKind, number: u64) -> Result<(), CaError> {
    let (new, place) = (
        keystore.paths(kind, Which::New),
        keystore.paths(kind, Which::Old),
    );
    match keystore.moving_in(kind, Halves::Both)? {
        Some(CaKey::File(_) | CaKey::Unread(_)) => {
            replaced_keys::put_aside(keystore, kind, Which::Old, number)?;
            // The public key file belongs to the private one: it is written again from it.
            fs::remove(&place.public)?;
            fs::rename(&new.private, &place.private)?;
        }
        Some(CaKey::Agent(_)) => {
            replaced_keys::put_aside(keystore, kind, Which::Old, number)?;
            fs::remove(&place.private)?;
            fs::rename(&new.public, &place.public)?;
        }
        // It is in its place.
        None => {}
    }
    Ok(())
}
