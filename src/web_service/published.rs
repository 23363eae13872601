//! Keeps what everybody may read up to date: the CAs' public keys, and the list of what is revoked.
//!
//! What is known stands while the process that has it does not answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ipc::{CallError, Published, PublishedAnswer, PublishedRequest};
use crate::web::{PublicDocuments, PublicKeys};

/// How often to ask: hosts fetch the list when they are told that it has changed.
const PERIOD: Duration = Duration::from_millis(200);
/// Longest list that is taken, in bytes.
const MAX_LIST: u64 = 64 * 1024 * 1024;

/// Why it is not known.
#[derive(Debug, Error)]
pub enum PublishedError {
    /// There is no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer makes no sense, or the list is longer than 64 MiB.
    #[error("the list of what is revoked cannot be put together")]
    List,
}

/// Follows it.
#[derive(Debug)]
pub(super) struct Follower {
    service: Arc<dyn Published>,
    known: KnownList,
    sender: watch::Sender<Arc<PublicDocuments>>,
}

/// What is known, for the next request.
#[derive(Clone, Debug, Default)]
struct KnownList {
    /// The name of the list, and its bytes.
    list: Option<(String, Bytes)>,
}

impl Follower {
    /// Asks for all of it; the receiver has it now and after each change.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) fn start(
        service: Arc<dyn Published>,
    ) -> Result<(Self, watch::Receiver<Arc<PublicDocuments>>), PublishedError> {
        let mut known = KnownList::default();
        let documents = known.ask(&*service)?;
        let (sender, receiver) = watch::channel(Arc::new(documents));
        let follower = Self {
            service,
            known,
            sender,
        };
        Ok((follower, receiver))
    }

    /// Asks again and again, until all receivers are dropped.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        while !self.sender.is_closed() {
            ticks.tick().await;
            let (service, mut known) = (Arc::clone(&self.service), self.known.clone());
            // A call waits for its answer.
            let asked = tokio::task::spawn_blocking(move || {
                let documents = known.ask(&*service);
                (known, documents)
            });
            match asked.await {
                Ok((known, Ok(documents))) => {
                    is_told = false;
                    self.known = known;
                    self.sender.send_if_modified(|before| {
                        let is_new = **before != documents;
                        if is_new {
                            *before = Arc::new(documents);
                        }
                        is_new
                    });
                }
                Ok((_, Err(error))) => {
                    if !is_told {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "cannot ask for public data; what is known stands");
                    }
                    is_told = true;
                }
                Err(error) => tracing::error!(%error, "cannot ask for public data"),
            }
        }
    }
}

impl KnownList {
    /// Asks until all of the list is there.
    fn ask(&mut self, service: &dyn Published) -> Result<PublicDocuments, PublishedError> {
        // The name of the list that is being put together, and what there is of it.
        let mut part: Option<(String, Vec<u8>)> = None;
        loop {
            let (list, have) = match (&part, &self.list) {
                (Some((name, bytes)), _) => (Some(name.clone()), bytes.len()),
                (None, Some((name, bytes))) => (Some(name.clone()), bytes.len()),
                (None, None) => (None, 0),
            };
            let have = have as u64;
            let answer = service.ask(PublishedRequest { list, have })?;
            if answer.length > MAX_LIST {
                return Err(PublishedError::List);
            }
            let whole = self.list.as_ref();
            let whole = whole.filter(|(name, _)| *name == answer.list && part.is_none());
            if let Some((_, bytes)) = whole {
                return Ok(documents(&answer, bytes.clone()));
            }
            let mut bytes = match part.take() {
                Some((name, bytes)) if name == answer.list => bytes,
                // It has changed meanwhile.
                _ => Vec::new(),
            };
            let is_next = bytes.len() as u64 == answer.offset;
            bytes.extend_from_slice(&answer.bytes);
            let length = bytes.len() as u64;
            if !is_next
                || length > answer.length
                || (answer.bytes.is_empty() && length < answer.length)
            {
                return Err(PublishedError::List);
            }
            if length == answer.length {
                let bytes = Bytes::from(bytes);
                self.list = Some((answer.list.clone(), bytes.clone()));
                return Ok(documents(&answer, bytes));
            }
            part = Some((answer.list, bytes));
        }
    }
}

fn documents(answer: &PublishedAnswer, list: Bytes) -> PublicDocuments {
    PublicDocuments {
        keys: PublicKeys {
            user: answer.user.clone(),
            host: answer.host.clone(),
        },
        list,
        changed: answer.changed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives these answers, one after the other, and keeps what it was asked.
    #[derive(Debug, Default)]
    struct Answering {
        answers: Mutex<Vec<PublishedAnswer>>,
        asked: Mutex<Vec<PublishedRequest>>,
    }

    impl Published for Answering {
        fn ask(&self, request: PublishedRequest) -> Result<PublishedAnswer, CallError> {
            self.asked.lock().unwrap().push(request);
            let mut answers = self.answers.lock().unwrap();
            match answers.is_empty() {
                true => Err(CallError::HungUp),
                false => Ok(answers.remove(0)),
            }
        }
    }

    fn told(answers: &[(&str, u64, u64, &str)]) -> Answering {
        let answers = answers
            .iter()
            .map(|(list, length, offset, bytes)| PublishedAnswer {
                user: Vec::new(),
                host: Vec::new(),
                list: (*list).to_owned(),
                length: *length,
                changed: 7,
                offset: *offset,
                bytes: bytes.as_bytes().to_vec(),
            });
        Answering {
            answers: Mutex::new(answers.collect()),
            asked: Mutex::default(),
        }
    }

    #[test]
    fn a_list_is_put_together_of_its_pieces() {
        let told = told(&[("a", 6, 0, "on"), ("a", 6, 2, "e tw"), ("a", 6, 6, "")]);
        let mut known = KnownList::default();
        assert_eq!(known.ask(&told).unwrap().list, "one tw");
        // Then it is asked with what is known, and nothing is fetched again.
        assert_eq!(known.ask(&told).unwrap().list, "one tw");
        let asked = told.asked.lock().unwrap();
        let asked: Vec<_> = asked
            .iter()
            .map(|one| (one.list.as_deref(), one.have))
            .collect();
        assert_eq!(asked, [(None, 0), (Some("a"), 2), (Some("a"), 6)]);
        assert_eq!(known.list.unwrap().1, "one tw");
    }

    #[test]
    fn a_list_that_changes_meanwhile_is_begun_anew() {
        let told = told(&[("a", 6, 0, "on"), ("b", 4, 0, "t"), ("b", 4, 1, "wo!")]);
        let mut known = KnownList::default();
        assert_eq!(known.ask(&told).unwrap().list, "two!");
    }

    #[test]
    fn answers_that_make_no_sense_change_nothing() {
        for (list, length, offset, bytes) in [
            ("b", 4, 1, "two"),
            ("b", 2, 0, "two"),
            ("b", 4, 0, ""),
            ("b", MAX_LIST + 1, 0, "two"),
        ] {
            let told = told(&[("a", 3, 0, "one"), (list, length, offset, bytes)]);
            let mut known = KnownList::default();
            known.ask(&told).unwrap();
            let error = known.ask(&told).unwrap_err();
            assert!(matches!(error, PublishedError::List), "{error:?}");
            assert_eq!(known.list.as_ref().unwrap().1, "one");
            // Nor does no answer.
            let error = known.ask(&told).unwrap_err();
            assert!(matches!(error, PublishedError::Call(_)), "{error:?}");
        }
    }
}
