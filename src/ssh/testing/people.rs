//! The process that decides about people, in memory: an answer to each question.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::CLIENT;
use crate::ipc::{CallError, People, PeopleAnswer, PeopleQuestion, PeopleRequest};
use crate::model::{ConnectionId, Login};
use crate::ssh::people_client::{PeopleClient, PersonClient};

/// Makes certificates for a login.
type Mint = dyn Fn(&Login) -> Result<PeopleAnswer, CallError> + Send + Sync;

/// Answers questions about alice's connections: for certificates by a function, and no others.
pub(crate) struct MintingPeople {
    mint: Box<Mint>,
    asked: Mutex<Vec<PeopleQuestion>>,
}

impl MintingPeople {
    pub(crate) fn new(
        mint: impl Fn(&Login) -> Result<PeopleAnswer, CallError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            mint: Box::new(mint),
            asked: Mutex::default(),
        })
    }

    /// Alice, as a connection asks about her.
    pub(crate) fn person(self: &Arc<Self>) -> PersonClient {
        let people = PeopleClient::new(Arc::<Self>::clone(self));
        people.person(ConnectionId::new(), CLIENT, "deploy".to_owned())
    }

    /// What it was asked so far, as far as a connection waits for the answer.
    pub(crate) fn asked(&self) -> Vec<PeopleQuestion> {
        self.asked.lock().unwrap().clone()
    }
}

impl fmt::Debug for MintingPeople {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MintingPeople(..)")
    }
}

impl People for MintingPeople {
    fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
        if request.ask == PeopleQuestion::Close {
            return Ok(PeopleAnswer::Closed);
        }
        self.asked.lock().unwrap().push(request.ask.clone());
        match &request.ask {
            PeopleQuestion::Certificate { login, .. } => (self.mint)(login),
            other => panic!("nothing else is asked: {other:?}"),
        }
    }
}
