//! What is revoked, wherever that is recorded. No record is ever removed: a mistaken revocation is lifted
//! by another record.

use std::fmt;
use std::sync::Arc;

use super::error::CaError;
use super::revocation::{RevocationRecord, Revoked};
use super::revocations::Revocations;
use crate::sys::clock::Clock;
use crate::sys::fs::FileLock;

/// What became of a wish to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It is revoked from now on.
    New(RevocationRecord),
    /// It was revoked before, by this line.
    Already(RevocationRecord),
}

/// Records revocations.
pub trait RevocationStore: fmt::Debug + Send + Sync {
    /// Where they are, for messages.
    fn place(&self) -> String;

    /// Whether the copy in files, which earlier versions read, can be continued, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    fn check_copy(&self) -> Result<(), CaError> {
        Ok(())
    }

    /// What the clock of new records says.
    fn clock(&self) -> Clock;

    /// What is revoked now.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or less is there than is known to have been.
    fn read(&self) -> Result<Revocations, CaError>;

    /// The same, for a process that asks again and again: what has not changed is not made again.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn shared(&self) -> Result<Arc<Revocations>, CaError> {
        self.read().map(Arc::new)
    }

    /// The same, for a process that relies on it from now on: what is there now cannot go unnoticed
    /// later.
    ///
    /// # Errors
    /// As [`Self::read`], and when that cannot be recorded.
    fn settle(&self) -> Result<Revocations, CaError>;

    /// The records after the first `known` ones, oldest first, each as a line of `revoked.jsonl`
    /// without its end; `most` of them at most.
    ///
    /// # Errors
    /// When they cannot be read, or are damaged.
    fn since(&self, known: u64, most: usize) -> Result<Vec<String>, CaError>;

    /// Adds records, all or none of them; durable when this returns. `false` if the last record's
    /// version is not `after`: then nothing is added.
    ///
    /// # Errors
    /// As [`Self::read`], and when they cannot be written.
    fn append(&self, after: u64, records: &[RevocationRecord]) -> Result<bool, CaError>;

    /// Keeps other commands on this machine from writing what is revoked to files, until it is dropped.
    ///
    /// # Errors
    /// When the lock cannot be made.
    fn lock(&self) -> Result<FileLock, CaError>;

    /// Revokes: all of it is durable when this returns, or nothing. What is revoked already gets no
    /// second record.
    ///
    /// # Errors
    /// As [`Self::append`].
    fn revoke(
        &self,
        wanted: Vec<Revoked>,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Vec<RevokeOutcome>, CaError> {
        loop {
            let mut known = self.read()?;
            let before = known.list().version;
            let mut written = Vec::new();
            let mut outcomes = Vec::new();
            for what in &wanted {
                if let Some(record) = known.of_revoked(what) {
                    outcomes.push(RevokeOutcome::Already(record.clone()));
                    continue;
                }
                let record = next(&known, self.clock(), by, reason, what.clone());
                known.add(record.clone());
                written.push(record.clone());
                outcomes.push(RevokeOutcome::New(record));
            }
            if written.is_empty() || self.append(before, &written)? {
                return Ok(outcomes);
            }
        }
    }

    /// Lifts what earlier records revoke, as they say it; gives the records that lift. What is not
    /// revoked gets none.
    ///
    /// # Errors
    /// As [`Self::append`].
    fn lift(
        &self,
        wanted: Vec<Revoked>,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Vec<RevocationRecord>, CaError> {
        loop {
            let mut known = self.read()?;
            let before = known.list().version;
            let mut written = Vec::new();
            for lifts in &wanted {
                if !known.in_force().any(|record| record.what == *lifts) {
                    continue;
                }
                let lifts = Box::new(lifts.clone());
                let what = Revoked::Lifted { lifts };
                let record = next(&known, self.clock(), by, reason, what);
                known.add(record.clone());
                written.push(record);
            }
            if written.is_empty() || self.append(before, &written)? {
                return Ok(written);
            }
        }
    }
}

/// The record that comes after those that are known.
fn next(
    known: &Revocations,
    clock: Clock,
    by: &str,
    reason: Option<&str>,
    what: Revoked,
) -> RevocationRecord {
    RevocationRecord {
        time: clock.now(),
        version: known.list().version + 1,
        by: by.to_owned(),
        reason: reason.map(str::to_owned),
        what,
    }
}
