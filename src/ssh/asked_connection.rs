//! What this process remembers of a connection about which it asks another one: that one forgets everything
//! when it is restarted, and is told again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

use super::waiting_line::AskError;
use crate::ipc::SignedProof;

/// What is remembered of one connection.
#[derive(Debug, Default)]
pub(crate) struct AskedConnection {
    /// The other process may remember something about the connection.
    is_known: AtomicBool,
    /// What the client has proved last.
    proof: Mutex<Option<SignedProof>>,
}

impl AskedConnection {
    /// Something is asked about the connection.
    pub(crate) fn asks(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    /// The client has proved its key.
    pub(crate) fn proves(&self, proof: &SignedProof) {
        let mut kept = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(proof.clone());
    }

    /// What the client has proved last, to be passed on again.
    pub(crate) fn proof(&self) -> Option<SignedProof> {
        let kept = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    /// The connection has ended: `close` tells the other process, if that may know of it. A process that
    /// exits need not tell: the other one sees it.
    pub(crate) fn end<T>(&self, close: impl Future<Output = Result<T, AskError>> + Send + 'static) {
        if !self.is_known.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = close.await {
                    tracing::debug!(%error, "cannot tell that a connection has ended");
                }
            });
        }
    }
}
