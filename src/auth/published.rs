//! The service that tells what everybody may know. The list of what is revoked is made here, once for each
//! change, so that the process that serves it learns nothing but the list.

use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::authorities::CurrentAuthorities;
use crate::ca::{CaError, CaRecords, Revocations};
use crate::cert::krl::KrlError;
use crate::ipc::{LIST_PIECE, PublicCaKeys, PublishedAnswer, PublishedRequest};
use crate::model::{ClusterName, text};

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum PublishedError {
    /// What is revoked cannot be read.
    #[error(transparent)]
    Read(#[from] CaError),
    /// The list cannot be written as a KRL.
    #[error(transparent)]
    Encode(#[from] KrlError),
}

/// Tells it.
#[derive(Debug)]
pub(super) struct PublishedService {
    cluster: ClusterName,
    records: CaRecords,
    authorities: CurrentAuthorities,
    made: Mutex<Option<MadeList>>,
}

/// The list, as it was made from these revocations.
#[derive(Clone, Debug)]
struct MadeList {
    of: Arc<Revocations>,
    bytes: Arc<[u8]>,
    /// SHA-256 of the bytes.
    name: String,
    changed: u64,
}

impl PublishedService {
    pub(super) fn new(
        cluster: ClusterName,
        records: CaRecords,
        authorities: CurrentAuthorities,
    ) -> Self {
        Self {
            cluster,
            records,
            authorities,
            made: Mutex::default(),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the list cannot be made.
    pub(super) fn answer(
        &self,
        request: &PublishedRequest,
    ) -> Result<PublishedAnswer, PublishedError> {
        let list = self.list()?;
        let length = list.bytes.len();
        let is_known = request.list.as_deref() == Some(&list.name);
        let have = usize::try_from(request.have).ok();
        let offset = have.filter(|have| is_known && *have <= length);
        let offset = offset.unwrap_or_default();
        let rest = list.bytes.get(offset..).unwrap_or_default();
        let bytes = rest.get(..LIST_PIECE).unwrap_or(rest).to_vec();
        let PublicCaKeys { user, host, .. } = self.authorities.keys();
        Ok(PublishedAnswer {
            user,
            host,
            list: list.name,
            length: length as u64,
            changed: list.changed,
            offset: offset as u64,
            bytes,
        })
    }

    /// The list in force.
    fn list(&self) -> Result<MadeList, PublishedError> {
        // Held while the list is made: whoever asks meanwhile waits for the same one.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.records.revoked.shared()?;
        if let Some(list) = made.as_ref().filter(|list| Arc::ptr_eq(&list.of, &now)) {
            return Ok(list.clone());
        }
        let published = now.published(&self.cluster);
        let bytes = published.encode()?;
        let list = MadeList {
            name: text::hex(&ssh_key::HashAlg::Sha256.digest(&bytes)),
            bytes: bytes.into(),
            changed: published.generated,
            of: now,
        };
        *made = Some(list.clone());
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{laid, parsed};
    use super::*;
    use crate::ca::Revoked;

    /// Takes all pieces, as the web does.
    fn whole(service: &PublishedService) -> Vec<u8> {
        let (mut bytes, mut request) = (Vec::new(), PublishedRequest::default());
        loop {
            let answer = service.answer(&request).unwrap();
            assert_eq!(answer.offset, bytes.len() as u64);
            bytes.extend(answer.bytes);
            if bytes.len() as u64 == answer.length {
                return bytes;
            }
            request = PublishedRequest {
                list: Some(answer.list),
                have: bytes.len() as u64,
            };
        }
    }

    #[test]
    fn the_list_comes_in_pieces_and_once() {
        let directory = crate::sys::fs::private_tempdir();
        let config = parsed(directory.path(), "cluster_name: example.test\n");
        let ground = laid(&config);
        let records = ground.records.clone();
        let authorities = ground.authorities.clone();
        let cluster = config.cluster_name.clone();
        let service = PublishedService::new(cluster.clone(), records.clone(), authorities.clone());
        let first = service.answer(&PublishedRequest::default()).unwrap();
        assert_eq!(first.user, authorities.keys().user);
        assert_eq!(first.host, authorities.keys().host);
        assert_eq!(first.bytes.len() as u64, first.length);
        let known = |answer: &PublishedAnswer| PublishedRequest {
            list: Some(answer.list.clone()),
            have: answer.length,
        };
        let again = service.answer(&known(&first)).unwrap();
        assert!(again.bytes.is_empty() && again.offset == again.length);

        let ids = (0..3_000).map(|number| Revoked::of_key_id(format!("somebody-{number}")));
        records.revoked.revoke(ids.collect(), "root", None).unwrap();
        let other = service.answer(&known(&first)).unwrap();
        assert_ne!(other.list, first.list);
        assert_eq!((other.offset, other.bytes.len()), (0, LIST_PIECE));
        assert!(other.changed > 0);
        let list = records.revoked.shared().unwrap().published(&cluster);
        assert_eq!(whole(&service), list.encode().unwrap());
        // What is asked for beyond the end is nothing that there is.
        let beyond = PublishedRequest {
            have: other.length + 1,
            list: Some(other.list),
        };
        assert_eq!(service.answer(&beyond).unwrap().offset, 0);
    }
}
