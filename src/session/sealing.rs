//! The end of a session: what is audited of it, once the disk has its recording or has failed to
//! take it.
//!
//! A sync may take as long as a disk likes. It happens on a thread of its own, so no relay waits for
//! it, and the session's end is audited there.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::registry::Departed;
use crate::audit::{AuditEvent, AuditLog, RecordingState};
use crate::model::chain;

/// Recordings that may wait for the disk at a time, in the whole process. A disk that takes none of so
/// many takes no more either: the next ones are audited as not synced.
const MAX_WAITING: usize = 256;

/// How often those who wait for all of them look.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// How a file is synced.
type SyncFile = dyn Fn(&File) -> io::Result<()> + Send + Sync;

/// Asks the disk to keep a file; returns when it has.
#[derive(Clone)]
pub(super) struct Disk(Arc<SyncFile>);

impl Disk {
    /// The real one.
    pub(super) fn real() -> Self {
        Self(Arc::new(File::sync_all))
    }

    /// Another one.
    #[cfg(test)]
    pub(super) fn of(sync: impl Fn(&File) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sync))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

/// What is to be audited of a session that has ended.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) audit: AuditLog,
    /// The session's end, whose `recording` says what it is if the disk takes it.
    pub(super) end: AuditEvent,
    /// Rings when all this is done.
    pub(super) departed: Departed,
}

impl Sealing {
    /// Audits the end of a session without a file to wait for.
    pub(super) fn without_file(self) {
        self.tell(&self.end);
        drop(self.departed);
    }

    /// Has the file synced on another thread, and then audits the end.
    pub(super) fn after_sync(self, file: File, disk: &Disk) {
        let place = SyncSlot::take();
        let disk = disk.clone();
        match place {
            Some(place) => {
                drop(tokio::task::spawn_blocking(move || {
                    let synced = (disk.0)(&file);
                    self.after(synced);
                    drop(place);
                }));
            }
            None => self.after(Err(io::Error::other(
                "too many recordings wait for the disk already",
            ))),
        }
    }

    fn after(mut self, synced: io::Result<()>) {
        if let Err(error) = synced
            && let Some(failed) = not_synced(&mut self.end, &error)
        {
            self.tell(&failed);
        }
        self.without_file();
    }

    fn tell(&self, event: &AuditEvent) {
        if let Err(error) = self.audit.emit(event) {
            tracing::error!(error = %chain(&error), "cannot write the audit log");
        }
    }
}

/// Waits until the ends of all sessions are audited, for so long at most: a runtime that ends forgets what
/// it has not begun.
pub(crate) async fn settled(limit: Duration) {
    let audited = async {
        while WAITING.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(limit, audited).await.is_err() {
        tracing::error!("the disk has not kept every recording yet: their ends are not audited");
    }
}

/// The event of a sync that failed. The end then says that the recording may lack something.
fn not_synced(end: &mut AuditEvent, error: &io::Error) -> Option<AuditEvent> {
    let AuditEvent::SessionEnd {
        session,
        connection,
        user,
        recording,
        ..
    } = end
    else {
        return None;
    };
    *recording = RecordingState::Incomplete;
    Some(AuditEvent::RecordingSyncFailed {
        session: *session,
        connection: *connection,
        user: user.clone(),
        error: error.to_string(),
    })
}

/// One of the recordings that wait for the disk.
#[derive(Debug)]
struct SyncSlot;

impl SyncSlot {
    fn take() -> Option<Self> {
        let taken = WAITING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < MAX_WAITING).then_some(waiting + 1)
        });
        taken.is_ok().then_some(Self)
    }
}

impl Drop for SyncSlot {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_the_disk_is_waited_for() {
        let place = SyncSlot::take().unwrap();
        let (is_over, over) = std::sync::mpsc::channel();
        let waiter = tokio::spawn(async move {
            settled(Duration::from_secs(60)).await;
            is_over.send(()).unwrap();
        });
        tokio::task::yield_now().await;
        assert!(over.try_recv().is_err());
        drop(place);
        waiter.await.unwrap();
        over.try_recv().unwrap();
    }
}
