//! `/webapi/auth/krl`: what is revoked, as the file that sshd's `RevokedKeys` names.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::page::{ErrorPage, Page};
use crate::ca::Revocations;
use crate::model::ClusterName;

/// The list that is in force in the running proxy. It is made once for each change of it.
#[derive(Debug)]
pub(super) struct Krl {
    cluster: ClusterName,
    revocations: watch::Receiver<Arc<Revocations>>,
    made: Mutex<Option<(Arc<Revocations>, Page)>>,
}

impl Krl {
    pub(super) fn new(
        cluster: ClusterName,
        revocations: watch::Receiver<Arc<Revocations>>,
    ) -> Self {
        Self {
            cluster,
            revocations,
            made: Mutex::new(None),
        }
    }

    /// The page, or why there is none.
    pub(super) async fn page(&self) -> Result<Page, ErrorPage> {
        // Held while the list is made: requests meanwhile wait for the same one.
        let mut made = self.made.lock().await;
        let now = Arc::clone(&self.revocations.borrow());
        if let Some((_, page)) = made.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &now)) {
            return Ok(page.clone());
        }
        let (cluster, of) = (self.cluster.clone(), Arc::clone(&now));
        // A long list takes its time.
        let encoded = tokio::task::spawn_blocking(move || {
            let list = of.published(&cluster);
            list.encode().map(|bytes| (bytes, list.generated))
        });
        let (bytes, generated) = match encoded.await {
            Ok(Ok(encoded)) => encoded,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        };
        let page = Page::new("application/octet-stream", "rproxy_revoked_keys", bytes);
        // Nothing was ever revoked where there is no date.
        let page = match generated {
            0 => page,
            at => page.modified(at),
        };
        *made = Some((now, page.clone()));
        Ok(page)
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ErrorPage {
    ErrorPage::failed("cannot make the revocation list", error)
}
