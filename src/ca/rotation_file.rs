//! The state of the rotation of a CA's key, on disk: `user_rotation.json` and `host_rotation.json`. Each
//! is replaced atomically. The ledger records how often the rotation has moved, so that a missing file
//! or an old copy is noticed.

use std::path::PathBuf;

use super::error::CaError;
use super::issue_log::RotationMoves;
use super::keystore::Keystore;
use super::kind::CaKind;
use super::rotation::{Rotation, Which};
use crate::sys::fs::{self, PRIVATE_FILE, Replace};

/// Largest state file that is read, in bytes; one has some 200.
const MAX_STATE: u64 = 4096;

/// The state files of both CAs: when one changes, the keys do.
pub(super) fn paths(keystore: &Keystore<'_>) -> [PathBuf; 2] {
    [CaKind::User, CaKind::Host].map(|kind| path(keystore, kind))
}

fn path(keystore: &Keystore<'_>, kind: CaKind) -> PathBuf {
    keystore.path(&format!("{kind}_rotation.json"))
}

/// Where the rotation stood when it was last written down. `known` is what the ledger knew before: it is
/// always behind.
///
/// # Errors
/// When the file cannot be read, or the ledger knows that it had moved on.
pub(super) fn read(
    keystore: &Keystore<'_>,
    kind: CaKind,
    known: &RotationMoves,
) -> Result<Rotation, CaError> {
    let path = path(keystore, kind);
    let rotation = match fs::read_limited(&path, MAX_STATE) {
        Err(missing) if missing.is_not_found() => Rotation::default(),
        read => {
            let read = serde_json::from_slice(&read?);
            let bad = |source| CaError::RotationState {
                path: path.clone(),
                source,
            };
            read.map_err(bad)?
        }
    };
    let known = known.of(kind);
    if rotation.moves() < known {
        return Err(CaError::Older {
            path,
            has: format!("step {}", rotation.moves()),
            known: format!("step {known}"),
        });
    }
    Ok(rotation)
}

/// Writes down where it stands.
///
/// # Errors
/// When the disk refuses, or the only key would go away for one that is not there.
pub(super) fn store(
    keystore: &Keystore<'_>,
    kind: CaKind,
    rotation: &Rotation,
) -> Result<(), CaError> {
    if rotation.keep() == Some(Which::New) {
        keystore.new_key(kind)?;
    }
    let mut text = serde_json::to_string(rotation).map_err(CaError::Record)?;
    text.push('\n');
    let path = path(keystore, kind);
    Ok(fs::write_whole(
        &path,
        text.as_bytes(),
        PRIVATE_FILE,
        Replace::Allow,
    )?)
}

/// The same, of a rotation that has moved: the ledger is told how far it is.
///
/// # Errors
/// As [`store`], and when the ledger cannot be written.
pub(super) fn store_move(
    keystore: &Keystore<'_>,
    kind: CaKind,
    rotation: &Rotation,
) -> Result<(), CaError> {
    store(keystore, kind, rotation)?;
    let installation = keystore.installation();
    let log = &installation.records.issued;
    log.mark_rotation(kind, rotation.moves(), installation.clock)
}
