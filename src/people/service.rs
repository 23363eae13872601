//! Answers the requests about people. This is the only way in from other processes.

use super::changing;
use super::context::{Context, PeopleParts, Unavailable};
use super::conversation::{Conversation, Stage};
use super::minting;
use super::own;
use super::password::{HashFailed, Passwords};
use super::proving::{prove, query};
use super::refusal::Refused;
use super::seen::SeenSessions;
use super::settings::PeopleSettings;
use super::table::ConversationTable;
use super::{signing_in, signing_up};
use crate::ipc::{PeopleAnswer, PeopleQuestion, PeopleRequest, SecretText};
use crate::sys::clock::monotonic;

/// Decides about people. All requests of all processes are answered by one.
#[derive(Debug)]
pub struct PeopleService {
    context: Context,
    seen: SeenSessions,
    table: ConversationTable,
}

impl PeopleService {
    /// A service with these parts.
    ///
    /// # Errors
    /// When there is no memory to hash a password.
    pub fn new(parts: PeopleParts) -> Result<Self, HashFailed> {
        Ok(Self::with_passwords(parts, Passwords::new()?))
    }

    pub(super) fn with_passwords(parts: PeopleParts, passwords: Passwords) -> Self {
        Self {
            context: Context::new(parts, passwords),
            seen: SeenSessions::default(),
            table: ConversationTable::default(),
        }
    }

    /// Answers a request of a process. It waits for the state and for a processor, so it has a thread of
    /// its own. `caller` is the number of the process, which no other process has while it runs.
    #[must_use]
    pub fn answer(&self, caller: u64, request: &PeopleRequest) -> PeopleAnswer {
        match self.decide(caller, request) {
            Ok(answer) => answer,
            Err(unavailable) => {
                tracing::error!("cannot decide about a person: {unavailable}");
                Refused::unavailable().into()
            }
        }
    }

    /// Takes other settings from now on.
    pub fn replace_settings(&self, settings: PeopleSettings) {
        self.context.replace_settings(settings);
    }

    /// The process has exited: what is known about its connections is wiped.
    pub fn forget_caller(&self, caller: u64) {
        self.table.forget_caller(caller);
    }

    fn decide(&self, caller: u64, request: &PeopleRequest) -> Result<PeopleAnswer, Unavailable> {
        let (connection, now) = (request.connection, monotonic());
        match &request.ask {
            PeopleQuestion::Close => {
                self.table.end(caller, connection);
                return Ok(PeopleAnswer::Closed);
            }
            PeopleQuestion::Key { key } => {
                let slot = self.table.find(caller, connection, now);
                let conversation = slot.as_ref().map(|slot| slot.lock());
                let conversation = conversation.as_deref();
                return query(&self.context, conversation, &request.user, key);
            }
            PeopleQuestion::Prove(_)
            | PeopleQuestion::Begin
            | PeopleQuestion::Answer(_)
            | PeopleQuestion::Certificate { .. }
            | PeopleQuestion::Own(_) => {}
        }
        let Some(slot) = self.table.find_or_begin(caller, request, now) else {
            return Ok(Refused::busy().into());
        };
        let mut conversation = slot.lock();
        if conversation.user != request.user || conversation.client != request.client {
            self.table.end(caller, connection);
            let refused = Refused::user_changed();
            return Ok(minting::distrust(
                &self.context,
                &conversation,
                "connection",
                refused,
            ));
        }
        let answer = self.converse(&mut conversation, &request.ask);
        slot.note(&conversation);
        answer
    }

    fn converse(
        &self,
        conversation: &mut Conversation,
        question: &PeopleQuestion,
    ) -> Result<PeopleAnswer, Unavailable> {
        let context = &self.context;
        match question {
            PeopleQuestion::Prove(proof) => prove(context, &self.seen, conversation, proof),
            PeopleQuestion::Begin => signing_in::again(context, conversation),
            PeopleQuestion::Answer(answers) => self.answers(conversation, answers),
            PeopleQuestion::Certificate { login, target: _ } => {
                minting::for_connection(context, conversation, login)
            }
            PeopleQuestion::Own(command) => own::command(context, conversation, command),
            // They are answered without a conversation.
            PeopleQuestion::Key { .. } | PeopleQuestion::Close => Ok(Refused::out_of_turn().into()),
        }
    }

    fn answers(
        &self,
        conversation: &mut Conversation,
        answers: &[SecretText],
    ) -> Result<PeopleAnswer, Unavailable> {
        let context = &self.context;
        if conversation.present().is_some() {
            return changing::answer(context, conversation, answers);
        }
        match std::mem::replace(&mut conversation.stage, Stage::Idle) {
            Stage::Name => signing_in::name(context, conversation, answers),
            Stage::Credentials { account, asks_code } => {
                signing_in::credentials(context, conversation, &account, asks_code, answers)
            }
            Stage::Invitation => signing_up::invitation(context, conversation, answers),
            Stage::NewPassword(invited) => {
                signing_up::first_password(context, conversation, invited, answers)
            }
            Stage::FirstCode(set_up) => {
                signing_up::first_code(context, conversation, *set_up, answers)
            }
            Stage::Stored(answered) => signing_in::proceed(context, conversation, *answered),
            stage @ (Stage::Idle | Stage::Answered(_) | Stage::SignedIn(_)) => {
                conversation.stage = stage;
                Ok(minting::distrust(
                    context,
                    conversation,
                    "answer",
                    Refused::out_of_turn(),
                ))
            }
        }
    }
}
