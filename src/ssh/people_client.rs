//! Asks the process that decides about people, without blocking the thread of a connection.
//!
//! No more questions are asked at a time than that process answers, and a bounded number waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::ipc::{CallError, People, PeopleAnswer, PeopleQuestion, PeopleRequest, Service};
use crate::model::ConnectionId;

/// How many questions of this process are asked at a time.
const AT_ONCE: usize = Service::People.at_once();
/// How many may wait for their turn.
const MAX_WAITING: usize = 4096;
/// How long one may wait for its turn.
const TURN: Duration = Service::People.timeout();

/// Why a question about a person has no answer.
#[derive(Debug, Error)]
pub(crate) enum PeopleError {
    /// Too many wait.
    #[error("too many clients sign in at this moment")]
    Crowded,
    /// It had no turn in time.
    #[error("too many clients sign in at this moment, and none was done within {} seconds", TURN.as_secs())]
    Late,
    /// The other process does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Asks about people, for all connections of this process. Clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct PeopleClient {
    people: Arc<dyn People>,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl PeopleClient {
    /// Asks this service.
    #[must_use]
    pub(crate) fn new(people: Arc<dyn People>) -> Self {
        Self {
            people,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + MAX_WAITING)),
        }
    }

    /// Asks about the person on this connection. `user` is the user name of the client's requests.
    pub(crate) fn person(
        &self,
        connection: ConnectionId,
        client: SocketAddr,
        user: String,
    ) -> PersonClient {
        PersonClient(Arc::new(Person {
            people: self.clone(),
            connection,
            client,
            user,
            is_known: AtomicBool::new(false),
        }))
    }

    /// Cancel-safe: a question that was asked is answered, and the answer is dropped.
    async fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, PeopleError> {
        let place = self.places.try_acquire();
        let _place = place.map_err(|_full| PeopleError::Crowded)?;
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_elapsed| PeopleError::Late)?;
        // The semaphore is never closed.
        let turn = turn.map_err(|_closed| PeopleError::Crowded)?;
        let people = Arc::clone(&self.people);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = people.ask(request);
            drop(turn);
            answer
        });
        Ok(asked.await.unwrap_or(Err(CallError::HungUp))?)
    }
}

/// Asks about the person on one connection. Clones share it; when the last one is dropped, the other
/// process is told that the connection has ended.
#[derive(Clone, Debug)]
pub(crate) struct PersonClient(Arc<Person>);

#[derive(Debug)]
struct Person {
    people: PeopleClient,
    connection: ConnectionId,
    client: SocketAddr,
    user: String,
    /// The other process may remember something about the connection.
    is_known: AtomicBool,
}

impl PersonClient {
    /// Asks. Cancel-safe: a question that was asked is answered, and the answer is dropped.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn ask(&self, ask: PeopleQuestion) -> Result<PeopleAnswer, PeopleError> {
        let Self(person) = self;
        person.is_known.store(true, Ordering::Relaxed);
        person.people.ask(person.request(ask)).await
    }

    /// The user name of the client's requests.
    pub(crate) fn user(&self) -> &str {
        &self.0.user
    }
}

impl Person {
    fn request(&self, ask: PeopleQuestion) -> PeopleRequest {
        PeopleRequest {
            connection: self.connection,
            client: self.client,
            user: self.user.clone(),
            ask,
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if !self.is_known.load(Ordering::Relaxed) {
            return;
        }
        let (people, request) = (self.people.clone(), self.request(PeopleQuestion::Close));
        // A process that exits need not tell: the other one sees it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = people.ask(request).await {
                    tracing::debug!(%error, "cannot tell that a connection has ended");
                }
            });
        }
    }
}
