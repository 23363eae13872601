//! A process that decides about people, in memory: alice, her keys, and who asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::cert::testing::NOW;
use crate::ipc::{
    CallError, People, PeopleAnswer, PeopleQuestion, PeopleRefusal, PeopleRequest, Prompt,
    Questions, SignedIn,
};
use crate::model::ConnectionId;

/// What every question is to be answered with.
pub(crate) const RIGHT: &str = "right";

/// Decides about alice as the real process does.
#[derive(Debug, Default)]
pub(crate) struct TestPeople(Mutex<PeopleRecord>);

/// What it knows, and what it was asked.
#[derive(Debug, Default)]
pub(crate) struct PeopleRecord {
    /// Alice's keys, encoded.
    pub(crate) registered: Vec<Vec<u8>>,
    /// Those that are signed in.
    pub(crate) signed_in: Vec<Vec<u8>>,
    /// It does not answer.
    pub(crate) is_away: bool,
    /// Refusals end the connection.
    pub(crate) is_strict: bool,
    /// The kinds of questions so far.
    pub(crate) asked: Vec<&'static str>,
    conversations: BTreeMap<String, Told>,
}

/// What a client has shown on a connection.
#[derive(Debug, Default)]
struct Told {
    proved: Option<Vec<u8>>,
    is_answered: bool,
}

impl TestPeople {
    pub(crate) fn record(&self) -> MutexGuard<'_, PeopleRecord> {
        self.0.lock().unwrap()
    }
}

impl People for TestPeople {
    fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
        let mut record = self.record();
        record.asked.push(kind(&request.ask));
        match record.is_away {
            true => Err(CallError::HungUp),
            false => Ok(record.decide(request)),
        }
    }
}

impl PeopleRecord {
    fn told(&mut self, connection: ConnectionId) -> &mut Told {
        self.conversations
            .entry(connection.to_string())
            .or_default()
    }

    fn decide(&mut self, request: PeopleRequest) -> PeopleAnswer {
        let PeopleRequest {
            connection,
            user,
            ask,
            ..
        } = request;
        match ask {
            PeopleQuestion::Key { key } => {
                let is_usable = self.told(connection).is_answered || self.registered.contains(&key);
                match is_usable {
                    true => PeopleAnswer::Usable,
                    false => PeopleAnswer::Useless,
                }
            }
            PeopleQuestion::Prove(proof) => {
                let verified = proof
                    .request(&user)
                    .verify()
                    .expect("the worker has verified it");
                let key = verified.request().key.clone();
                if self.signed_in.contains(&key) {
                    return alice(false);
                }
                if self.told(connection).is_answered {
                    return self.sign_in(key);
                }
                self.told(connection).proved = Some(key);
                PeopleAnswer::AskFirst
            }
            PeopleQuestion::Begin => {
                let proved = self.told(connection).proved.clone();
                let is_known = proved.is_some_and(|key| self.registered.contains(&key));
                questions(&user, is_known)
            }
            PeopleQuestion::Answer(answers) if answers.iter().any(|it| it.expose() != RIGHT) => {
                PeopleAnswer::Refused(PeopleRefusal {
                    reason: "sign-in-wrong".to_owned(),
                    message: "the password or the code is wrong".to_owned(),
                    hint: None,
                    is_final: self.is_strict,
                })
            }
            PeopleQuestion::Answer(_) => match self.told(connection).proved.clone() {
                Some(key) => self.sign_in(key),
                None => {
                    self.told(connection).is_answered = true;
                    PeopleAnswer::ProveKey
                }
            },
            PeopleQuestion::Close => {
                self.conversations.remove(&connection.to_string());
                PeopleAnswer::Closed
            }
            PeopleQuestion::Certificate { .. } | PeopleQuestion::Own(_) => {
                PeopleAnswer::Text(String::new())
            }
        }
    }

    fn sign_in(&mut self, key: Vec<u8>) -> PeopleAnswer {
        self.registered.push(key.clone());
        self.signed_in.push(key);
        alice(true)
    }
}

fn kind(ask: &PeopleQuestion) -> &'static str {
    match ask {
        PeopleQuestion::Key { .. } => "key",
        PeopleQuestion::Prove(_) => "prove",
        PeopleQuestion::Begin => "begin",
        PeopleQuestion::Answer(_) => "answer",
        PeopleQuestion::Certificate { .. } => "certificate",
        PeopleQuestion::Own(_) => "own",
        PeopleQuestion::Close => "close",
    }
}

fn questions(user: &str, is_known: bool) -> PeopleAnswer {
    let (banner, first) = match user {
        "signup" => ("\u{2588}\u{2580}\notpauth://totp/x", Some("invitation: ")),
        _ if is_known => ("", None),
        _ => ("", Some("your name [deploy]: ")),
    };
    let prompts = first.into_iter().chain(["password: ", "code: "]);
    let prompts = prompts.map(|text| Prompt {
        text: text.to_owned(),
        echo: false,
    });
    PeopleAnswer::Questions(Questions {
        banner: banner.to_owned(),
        prompts: prompts.collect(),
    })
}

fn alice(was_asked: bool) -> PeopleAnswer {
    PeopleAnswer::SignedIn(SignedIn {
        id: Uuid::nil(),
        name: "alice".to_owned(),
        roles: Vec::new(),
        logins: None,
        since: NOW,
        until: NOW + 3600,
        was_asked,
    })
}
