//! The revocation list as the file that sshd's `RevokedKeys` names, for hosts that have joined.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinError;

use crate::ca::Revocations;
use crate::cert::krl::KrlError;
use crate::model::ClusterName;

/// Why there is no file.
#[derive(Debug, Error)]
pub(crate) enum ListError {
    /// The list cannot be written as a KRL.
    #[error(transparent)]
    Encode(#[from] KrlError),
    /// The thread that makes it has not ended as it should.
    #[error("the thread that makes it has failed")]
    Thread(#[from] JoinError),
}

/// The list that is in force, as a file.
#[derive(Clone, Debug)]
pub(crate) struct PublishedList {
    /// The file: a KRL (OpenSSH PROTOCOL.krl).
    pub(crate) bytes: Bytes,
}

/// The list that is in force in the running proxy. It is made once for each change of it, for all who ask.
#[derive(Debug)]
pub(crate) struct RevocationFile {
    cluster: ClusterName,
    revocations: watch::Receiver<Arc<Revocations>>,
    made: Mutex<Option<(Arc<Revocations>, PublishedList)>>,
}

impl RevocationFile {
    /// For the hosts of a cluster. It follows the sender of the revocations.
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

    /// The list as it is now. Cancel-safe.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn list(&self) -> Result<PublishedList, ListError> {
        // Held while the list is made: whoever asks meanwhile waits for the same one.
        let mut made = self.made.lock().await;
        let now = Arc::clone(&self.revocations.borrow());
        if let Some((_, list)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &now)) {
            return Ok(list.clone());
        }
        let (cluster, of) = (self.cluster.clone(), Arc::clone(&now));
        // A long list takes its time.
        let encoded = tokio::task::spawn_blocking(move || {
            let list = of.published(&cluster);
            let bytes = Bytes::from(list.encode()?);
            Ok::<_, KrlError>(PublishedList { bytes })
        });
        let list = encoded.await??;
        *made = Some((now, list.clone()));
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (RevocationFile, watch::Sender<Arc<Revocations>>) {
        let (sender, receiver) = watch::channel(Arc::<Revocations>::default());
        let file = RevocationFile::new("example.test".parse().unwrap(), receiver);
        (file, sender)
    }

    #[tokio::test]
    async fn the_list_is_made_once_for_each_change() {
        let (file, sender) = file();
        let (first, same) = tokio::join!(file.list(), file.list());
        let (first, same) = (first.unwrap().bytes, same.unwrap().bytes);
        assert_eq!(first.as_ptr(), same.as_ptr());
        sender.send_replace(Arc::default());
        let next = file.list().await.unwrap().bytes;
        assert_ne!(next.as_ptr(), first.as_ptr());
        assert_eq!(next, first, "the same revocations make the same list");
    }

    /// Whoever is first may go away.
    #[tokio::test]
    async fn another_one_makes_the_list_of_whoever_has_left() {
        let (file, _sender) = file();
        tokio::select! {
            biased;
            _list = file.list() => {}
            () = std::future::ready(()) => {}
        }
        assert!(!file.list().await.unwrap().bytes.is_empty());
    }
}
