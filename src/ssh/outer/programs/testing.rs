//! People in memory, for the tests of programs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::context::ProgramContext;
use crate::access::Identity;
use crate::access::testing::sign_in;
use crate::ipc::{CallError, People, PeopleAnswer, PeopleQuestion, PeopleRequest};
use crate::model::ConnectionId;
use crate::ssh::caller::Caller;
use crate::ssh::people_client::{PeopleClient, PersonClient};
use crate::ssh::scope::Scope;
use crate::ssh::testing::{CLIENT, SshFixture};

/// A program of alice, who has signed in and is asked about through this client. No agent is forwarded.
pub(super) fn signed_in(proxy: &SshFixture, person: PersonClient) -> ProgramContext {
    let identity = Identity::new(sign_in("alice", proxy.alice.public_key(), |_| {}));
    ProgramContext {
        services: Arc::new(proxy.outer()),
        caller: Caller {
            identity,
            address: CLIENT,
            person: Some(person),
        },
        connection: ConnectionId::new(),
        scope: Scope::within(&CancellationToken::new()),
        agent: None,
    }
}

/// Gives these answers, one after the other, whatever it is asked.
#[derive(Debug)]
pub(super) struct ScriptedPeople {
    answers: Mutex<VecDeque<PeopleAnswer>>,
    asked: Mutex<Vec<PeopleQuestion>>,
}

impl ScriptedPeople {
    pub(super) fn new(answers: Vec<PeopleAnswer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into()),
            asked: Mutex::default(),
        })
    }

    /// Alice, as a connection asks about her.
    pub(super) fn person(self: &Arc<Self>) -> PersonClient {
        let people = PeopleClient::new(Arc::<Self>::clone(self));
        people.person(ConnectionId::new(), CLIENT, "alice".to_owned())
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<PeopleQuestion> {
        self.asked.lock().unwrap().clone()
    }
}

impl People for ScriptedPeople {
    fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
        assert_eq!((request.user.as_str(), request.client), ("alice", CLIENT));
        self.asked.lock().unwrap().push(request.ask);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.ok_or(CallError::HungUp)
    }
}
