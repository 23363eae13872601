//! Where key exchanges are computed that take milliseconds: on threads of their own, few at a time, so that
//! the threads that serve sessions go on meanwhile.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::wire::{Work, Worked};

/// Turns at computing, for all connections in the order in which they come. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Workshop(Arc<Semaphore>);

impl Workshop {
    /// A workshop that leaves half of so many processors, and at least one, to the sessions.
    pub(crate) fn new(processors: usize) -> Self {
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }

    /// Computes it, once its turn has come. Dropped before, it is not begun.
    pub(crate) fn compute(&self, work: Work) -> AbortOnDropHandle<Option<Worked>> {
        let turns = Arc::clone(&self.0);
        AbortOnDropHandle::new(tokio::spawn(async move {
            // Nobody closes it. What ends while it is computed keeps its turn until then.
            let turn = turns.acquire_owned().await.ok()?;
            let computed = tokio::task::spawn_blocking(move || {
                let worked = work.run();
                drop(turn);
                worked
            });
            computed.await.ok()
        }))
    }
}
