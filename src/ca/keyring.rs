//! The one or two keys of a CA, read as they are on the disk. Nothing is written.

use ssh_key::PublicKey;

use super::error::CaError;
use super::issue_log::RotationMoves;
use super::key::CaKey;
use super::keystore::{Halves, Keystore};
use super::kind::CaKind;
use super::replaced_keys;
use super::rotation::{Rotation, RotationPhase, Which};
use super::rotation_file;

/// Which private keys are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateKeys {
    /// Those of both CAs.
    All,
    /// What the running proxy signs with: the host CA's key, during a rotation the one of both
    /// that signs.
    ForProxy,
    /// What the running proxy signs with where people sign in: of each CA the key that signs.
    ForPeople,
}

impl PrivateKeys {
    /// What is read of this key, where that one signs.
    fn halves(self, kind: CaKind, which: Which, signs: Which) -> Halves {
        match self {
            Self::All => Halves::Both,
            Self::ForProxy if kind == CaKind::Host && which == signs => Halves::Both,
            Self::ForPeople if which == signs => Halves::Both,
            Self::ForProxy | Self::ForPeople => Halves::Public,
        }
    }
}

/// The keys of one CA.
#[derive(Debug)]
pub(super) struct Keyring {
    /// Where its rotation stands.
    pub(super) rotation: Rotation,
    /// The key from before the rotation; the only one in standby.
    pub(super) old: CaKey,
    /// The key that the rotation brings, as long as it is not the only one.
    pub(super) new: Option<CaKey>,
    /// Keys that rotations have replaced. They are no longer trusted.
    pub(super) kept: Vec<PublicKey>,
}

impl Keyring {
    /// Reads the keys of a CA, as the rotation has them that was written down last. Where a crash has
    /// left a key on its way to its place, it is found there. `known` is what the ledger knew before.
    pub(super) fn read(
        keystore: &Keystore<'_>,
        kind: CaKind,
        known: &RotationMoves,
        private: PrivateKeys,
    ) -> Result<Self, CaError> {
        let rotation = rotation_file::read(keystore, kind, known)?;
        let signs = rotation.signs_with(kind);
        let halves = |which| private.halves(kind, which, signs);
        let new = match rotation.phase() {
            RotationPhase::Standby => None,
            // What is rolled back may be gone: nothing is signed with it any more.
            RotationPhase::Rollback => match keystore.read(kind, Which::New, halves(Which::New)) {
                Err(CaError::NewKeyGone(_)) => None,
                read => read?,
            },
            RotationPhase::Init | RotationPhase::UpdateClients | RotationPhase::UpdateServers => {
                let read = keystore.read(kind, Which::New, halves(Which::New))?;
                Some(read.ok_or_else(|| keystore.new_gone(kind))?)
            }
        };
        let halves = halves(Which::Old);
        let arriving = match (rotation.bring(), rotation.keep()) {
            (Some(number), _) => replaced_keys::coming_back(keystore, kind, number, halves)?,
            (None, Some(Which::New)) => keystore.moving_in(kind, halves)?,
            (None, Some(Which::Old) | None) => None,
        };
        let old = match arriving {
            Some(key) => Some(key),
            None => keystore.read(kind, Which::Old, halves)?,
        };
        let old = old.ok_or_else(|| keystore.none(kind))?;
        keystore.check_named(kind, [&old].into_iter().chain(&new).map(CaKey::public))?;
        Ok(Self {
            rotation,
            old,
            new,
            kept: replaced_keys::public_keys(keystore, kind)?,
        })
    }
}
