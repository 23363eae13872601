//! The revocation list as the file that sshd's `RevokedKeys` names.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, watch};

use crate::ca::Revocations;
use crate::model::{ClusterName, chain};

/// The list that is in force. It is made once for each change of it.
#[derive(Debug)]
pub(crate) struct RevocationFile {
    cluster: ClusterName,
    revocations: watch::Receiver<Arc<Revocations>>,
    made: Mutex<Option<(Arc<Revocations>, Bytes)>>,
}

impl RevocationFile {
    /// For the hosts of a cluster.
    pub(crate) fn new(
        cluster: ClusterName,
        revocations: watch::Receiver<Arc<Revocations>>,
    ) -> Self {
        Self {
            cluster,
            revocations,
            made: Mutex::new(None),
        }
    }

    /// The number of the list: it grows with each change.
    pub(crate) fn number(&self) -> u64 {
        self.revocations.borrow().list().version
    }

    /// The file.
    ///
    /// # Errors
    /// It cannot be made; the text says why.
    pub(crate) async fn bytes(&self) -> Result<Bytes, String> {
        // Held while the list is made: hosts that ask meanwhile wait for the same one.
        let mut made = self.made.lock().await;
        let now = Arc::clone(&self.revocations.borrow());
        if let Some((_, bytes)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &now)) {
            return Ok(bytes.clone());
        }
        let (cluster, of) = (self.cluster.clone(), Arc::clone(&now));
        // A long list takes its time.
        let encoded = tokio::task::spawn_blocking(move || of.published(&cluster).encode());
        let bytes = match encoded.await {
            Ok(Ok(bytes)) => Bytes::from(bytes),
            Ok(Err(error)) => return Err(chain(&error)),
            Err(error) => return Err(chain(&error)),
        };
        *made = Some((now, bytes.clone()));
        Ok(bytes)
    }
}
