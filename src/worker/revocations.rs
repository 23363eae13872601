//! Keeps the worker's revocations up to date with the file that `rproxy auth revoke` writes.
//!
//! The file is checked several times a second: that works on every file system and misses no change.
//! A revocation stays in force until a line lifts it, even if the file is damaged or removed.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ca::{CaError, RevocationLog, RevocationStore as _, Revocations};

/// How often the file is checked: a revocation has to be enforced within a second.
const PERIOD: Duration = Duration::from_millis(200);

/// Distinguishes states of the file; every revocation makes the file longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` if there is no file.
    fn of(log: &RevocationLog) -> Option<Self> {
        let metadata = std::fs::metadata(log.path()).ok()?;
        Some(Self {
            length: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// Watches the file.
#[derive(Debug)]
pub(super) struct Watcher {
    log: RevocationLog,
    stamp: Option<Stamp>,
    sender: watch::Sender<Arc<Revocations>>,
}

impl Watcher {
    /// Reads the file; the receiver gets the revocations now and after each change.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or has fewer revocations than the ledger records: the
    /// proxy must not start if it would accept revoked certificates.
    pub(super) fn start(
        log: RevocationLog,
    ) -> Result<(Self, watch::Receiver<Arc<Revocations>>), CaError> {
        // The stamp is taken first: a change in between is read twice instead of missed.
        let stamp = Stamp::of(&log);
        let found = log.read()?;
        let (sender, receiver) = watch::channel(Arc::new(found));
        let watcher = Self { log, stamp, sender };
        Ok((watcher, receiver))
    }

    /// Watches the file until all receivers are dropped.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.sender.is_closed() {
            ticks.tick().await;
            let stamp = Stamp::of(&self.log);
            if stamp != self.stamp {
                self.stamp = stamp;
                self.read().await;
            }
        }
    }

    async fn read(&self) {
        let log = self.log.clone();
        // On another thread: reading a long file takes time, and clients wait to be accepted.
        let found = match tokio::task::spawn_blocking(move || log.follow()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                return tracing::error!(error, "cannot read the revocations; those known stand");
            }
            Err(error) => {
                return tracing::error!(%error, "cannot read the revocations; those known stand");
            }
        };
        let mut known = Revocations::clone(&self.sender.borrow());
        let (before, version) = (known.list().version, found.list().version);
        if version < before {
            tracing::warn!(
                before,
                version,
                "revocations were removed; those known stand"
            );
        }
        if known.adopt(&found) {
            tracing::info!(version, "the revocations have changed");
            self.sender.send_replace(Arc::new(known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Revoked;
    use crate::sys::clock::Clock;

    fn revoke(log: &RevocationLog, key_id: &str) {
        let key_id = key_id.to_owned();
        log.revoke(vec![Revoked::of_key_id(key_id)], "root", None)
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn revocations_arrive_soon_and_stay() {
        const { assert!(PERIOD.as_millis() <= 200, "a second is the promise") };
        let directory = tempfile::tempdir().unwrap();
        let log = RevocationLog::new(
            &crate::model::DataDir::new(directory.path().join("state")),
            Clock::System,
        );
        let (watcher, mut receiver) = Watcher::start(log.clone()).unwrap();
        let watching = tokio::spawn(watcher.run());
        for (count, key_id) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            if key_id == "carol" {
                std::fs::remove_file(log.path()).unwrap();
                tokio::time::sleep(2 * PERIOD).await;
                // A file that has less than the ledger knows of is none that is added to.
                let other = RevocationLog::new(
                    &crate::model::DataDir::new(directory.path().join("other")),
                    Clock::System,
                );
                revoke(&other, key_id);
                std::fs::rename(other.path(), log.path()).unwrap();
            } else {
                revoke(&log, key_id);
            }
            tokio::time::timeout(Duration::from_secs(1), receiver.changed())
                .await
                .expect("it is looked for again and again")
                .unwrap();
            assert_eq!(receiver.borrow_and_update().records().len(), count);
        }
        drop(receiver);
        watching.await.unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_the_proxy_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("revoked.jsonl")).unwrap();
        let log = RevocationLog::new(&crate::model::DataDir::new(directory.path()), Clock::System);
        assert!(Watcher::start(log).is_err());
    }
}
