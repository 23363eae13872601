//! What the files of a data directory have, taken over into the state: the certificates, the revocations
//! and the marks of `issued.jsonl` and `revoked.jsonl`.
//!
//! The files are what earlier versions of rproxy write. They are taken over at the first change of a
//! state, and again at each start of the proxy: an earlier version may have run in between. What the state
//! has already is not added again.

use std::collections::HashSet;

use super::db::{Transaction, values};
use super::error::StateError;
use super::handle::State;
use super::issued;
use super::revocations::{self, RevocationRow};
use crate::ca::{CaKind, IssueRecord, RevocationRecord, Revocations, RotationMoves};

/// The row of `meta` that says that files were taken over.
const TAKEN_OVER: &str = "files-taken-over";
/// The kind of the marks of rotations.
const ROTATION: &str = "rotation";

/// What the files have.
#[derive(Debug, Default)]
pub(super) struct FileRecords {
    /// The certificates.
    pub(super) issued: Vec<IssueRecord>,
    /// The revocations.
    pub(super) revoked: Vec<RevocationRecord>,
    /// How far the rotations have come.
    pub(super) moves: RotationMoves,
}

impl State {
    /// Whether files were taken over. Until then, they are what counts.
    pub(super) fn has_taken_over(&self) -> Result<bool, StateError> {
        Ok(self.meta().get(TAKEN_OVER)?.is_some())
    }

    /// Takes over what files have, all of it or nothing.
    pub(super) fn take_over(&self, files: &FileRecords) -> Result<(), StateError> {
        self.database.write(|tx| {
            add_revocations(tx, &files.revoked)?;
            add_issued(tx, &files.issued)?;
            for kind in [CaKind::User, CaKind::Host] {
                set_moves(tx, kind, files.moves.of(kind))?;
            }
            let sql =
                "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            tx.execute(sql, values![TAKEN_OVER, "yes"])?;
            Ok(())
        })
    }

    /// How far the rotations are known to have come.
    pub(super) fn rotation_moves(&self) -> Result<RotationMoves, StateError> {
        let of = |kind: CaKind| self.revocations().mark(ROTATION, &kind.to_string());
        Ok(RotationMoves {
            user: of(CaKind::User)?,
            host: of(CaKind::Host)?,
        })
    }

    /// Writes down how far a rotation has come.
    pub(super) fn mark_rotation(&self, kind: CaKind, moves: u64) -> Result<(), StateError> {
        self.database.write(|tx| set_moves(tx, kind, moves))
    }
}

fn set_moves(tx: &mut dyn Transaction, kind: CaKind, moves: u64) -> Result<(), StateError> {
    revocations::set_mark(tx, ROTATION, &kind.to_string(), moves)
}

/// Adds the revocations that the state does not have. One whose version is taken gets the next one: the
/// files of another machine have versions of their own.
fn add_revocations(
    tx: &mut dyn Transaction,
    records: &[RevocationRecord],
) -> Result<(), StateError> {
    if records.is_empty() {
        return Ok(());
    }
    let rows = tx.query("SELECT line FROM revocations", &[])?;
    let mut there = HashSet::new();
    for row in &rows {
        there.extend(Revocations::parse(row.text(0)?.as_bytes()).map(without_version));
    }
    let mut last = revocations::last_version(tx)?;
    for record in records {
        if there.contains(&without_version(record.clone())) {
            continue;
        }
        last = record.version.max(last + 1);
        let mut record = record.clone();
        record.version = last;
        let line = serde_json::to_string(&record).map_err(StateError::Json)?;
        let version = last;
        revocations::insert(tx, &RevocationRow { version, line })?;
    }
    Ok(())
}

fn without_version(record: RevocationRecord) -> RevocationRecord {
    RevocationRecord {
        version: 0,
        ..record
    }
}

/// Adds certificates. They are written to the file in the order of issue, so none is missing if the last
/// one is there.
fn add_issued(tx: &mut dyn Transaction, records: &[IssueRecord]) -> Result<(), StateError> {
    let Some(last) = records.last() else {
        return Ok(());
    };
    let sql = "SELECT COUNT(*) FROM issued WHERE serial = $1";
    if tx.number(sql, values![last.serial.to_string()])? > 0 {
        return Ok(());
    }
    for record in records {
        issued::insert(tx, record)?;
    }
    Ok(())
}
