//! Answers the requests about people. This is the only way in from other processes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::changing;
use super::completion::proceed;
use super::context::{Context, PeopleParts, Unavailable};
use super::conversation::{Conversation, Stage};
use super::hosts::HostList;
use super::minting;
use super::own;
use super::password::{HashFailed, Passwords};
use super::proving::{prove, query};
use super::refusal::Refused;
use super::settings::PeopleSettings;
use super::{
    browser, browser_passwords, browser_sessions, signing_in, signing_in_by_browser, signing_up,
};
use crate::ipc::{
    BrowserAnswer, BrowserPasswordRequest, BrowserRequest, BrowserSessionAnswer,
    BrowserSessionRequest, ConnectionTable, PeopleAnswer, PeopleQuestion, PeopleRequest,
    SecretText, SeenSessions, SignInEnd,
};
use crate::metrics::SignInRefusal;
use crate::model::ConnectionId;
use crate::state::SignInsOf;
use crate::sys::clock::monotonic;

/// Decides about people. All requests of all processes are answered by one.
#[derive(Debug)]
pub struct PeopleService {
    context: Context,
    seen: SeenSessions,
    table: ConnectionTable<Conversation>,
    hosts: HostList,
    /// When what is over was last removed, by the monotonic clock.
    swept: Mutex<Duration>,
}

/// Longest user name of a client's requests, in bytes: longer ones are those of no account.
const MAX_NAME: usize = 1_024;
/// How often what is over is removed. It counts for nothing before that.
const SWEEP: Duration = Duration::from_secs(60);
/// How many wrong answers are remembered: more are those of an attacker who would fill the disk. Delays end
/// long before so many have come.
const MOST_ATTEMPTS: u64 = 1_000_000;
/// For how long the ends of sign-ins, and the addresses that people have signed in from, are remembered,
/// in seconds.
const REMEMBERED: u64 = 90 * 24 * 60 * 60;

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
            table: ConnectionTable::default(),
            hosts: HostList::default(),
            swept: Mutex::new(monotonic()),
        }
    }

    /// How many passwords were hashed so far.
    #[cfg(test)]
    pub(super) fn hashes(&self) -> usize {
        self.context.passwords.made()
    }

    /// Answers a request of a process. It waits for the state and for a processor, so it has a thread of
    /// its own. `caller` is the number of the process, which no other process has while it runs.
    #[must_use]
    pub fn answer(&self, caller: u64, request: &PeopleRequest) -> PeopleAnswer {
        if let Err(unavailable) = self.sweep(monotonic()) {
            tracing::error!("cannot remove what is over from the state: {unavailable}");
        }
        match self.decide(caller, request) {
            Ok(answer) => answer,
            Err(unavailable) => {
                tracing::error!("cannot decide about a person: {unavailable}");
                let refusals = &self.context.meters.refusals;
                refusals.add(SignInRefusal::Unavailable, 1);
                Refused::unavailable().into()
            }
        }
    }

    /// Answers a browser. It waits for the state and for the identity provider, so it has a thread of its
    /// own.
    #[must_use]
    pub fn answer_browser(&self, request: &BrowserRequest) -> BrowserAnswer {
        match browser::answer(&self.context, request) {
            Ok(answer) => answer,
            Err(unavailable) => {
                tracing::error!("cannot answer a browser: {unavailable}");
                Refused::unavailable().into()
            }
        }
    }

    /// Answers a browser with a token. It waits for the state, so it has a thread of its own.
    #[must_use]
    pub fn answer_session(&self, request: &BrowserSessionRequest) -> BrowserSessionAnswer {
        self.in_browser(browser_sessions::answer(
            &self.context,
            &self.hosts,
            request,
        ))
    }

    /// Answers a browser that brings a password. It waits for a processor, so it has a thread of its own,
    /// which nothing else waits for.
    #[must_use]
    pub fn answer_password(&self, request: &BrowserPasswordRequest) -> BrowserSessionAnswer {
        self.in_browser(browser_passwords::answer(&self.context, request))
    }

    fn in_browser(
        &self,
        decided: Result<BrowserSessionAnswer, Unavailable>,
    ) -> BrowserSessionAnswer {
        decided.unwrap_or_else(|unavailable| {
            tracing::error!("cannot decide about a browser: {unavailable}");
            let refusals = &self.context.meters.refusals;
            refusals.add(SignInRefusal::Unavailable, 1);
            Refused::unavailable().into()
        })
    }

    /// Takes other settings from now on.
    pub fn replace_settings(&self, settings: PeopleSettings) {
        self.context.replace_settings(settings);
    }

    /// The process has exited: what is known about its connections is wiped.
    pub fn forget_caller(&self, caller: u64) {
        self.table.forget_caller(caller);
    }

    /// Removes what is over, once a minute.
    fn sweep(&self, now: Duration) -> Result<(), Unavailable> {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(*swept) < SWEEP {
                return Ok(());
            }
            *swept = now;
        }
        self.table.sweep(now);
        let (sign_ins, now) = (self.context.state.sign_ins(), self.context.now());
        self.context.state.authorizations().sweep(now)?;
        sign_ins.end(&SignInsOf::Before(now), SignInEnd::Expired, now)?;
        sign_ins.forget_before(now.saturating_sub(REMEMBERED))?;
        self.context.state.attempts().keep(MOST_ATTEMPTS)?;
        Ok(())
    }

    fn decide(&self, caller: u64, request: &PeopleRequest) -> Result<PeopleAnswer, Unavailable> {
        let (connection, now) = (request.connection, monotonic());
        let refuse = |what, refused| {
            let unknown = Conversation::new(caller, request);
            Ok(minting::distrust(&self.context, &unknown, what, refused))
        };
        let is_unknown = || self.table.find(caller, connection, now).is_none();
        if request.user.len() > MAX_NAME {
            return refuse("connection", Refused::long_name());
        }
        match &request.ask {
            PeopleQuestion::Close => {
                self.end(caller, connection);
                return Ok(PeopleAnswer::Closed);
            }
            PeopleQuestion::Key { key } => {
                let slot = self.table.find(caller, connection, now);
                let conversation = slot.as_ref().map(|slot| slot.lock());
                let conversation = conversation.as_deref();
                return query(&self.context, conversation, &request.user, key);
            }
            PeopleQuestion::Answer(_) if is_unknown() => {
                return refuse("answer", Refused::forgotten());
            }
            PeopleQuestion::Certificate { .. } if is_unknown() => {
                return refuse("certificate", Refused::not_signed_in());
            }
            PeopleQuestion::Own(_) if is_unknown() => {
                return refuse("own", Refused::not_signed_in());
            }
            PeopleQuestion::Prove(_)
            | PeopleQuestion::Begin
            | PeopleQuestion::Answer(_)
            | PeopleQuestion::Certificate { .. }
            | PeopleQuestion::Own(_) => {}
        }
        let begin = || Conversation::new(caller, request);
        let Some(slot) = self.table.find_or_begin(caller, connection, now, begin) else {
            return refuse("connection", Refused::busy());
        };
        let mut conversation = slot.lock();
        if conversation.user != request.user || conversation.client != request.client {
            drop(self.table.end(caller, connection));
            if let Some(session) = conversation.session.take() {
                self.seen.end(&session);
            }
            let refused = Refused::user_changed();
            return Ok(minting::distrust(
                &self.context,
                &conversation,
                "connection",
                refused,
            ));
        }
        conversation.next(request);
        let answer = self.converse(&mut conversation, &request.ask);
        slot.note(matches!(conversation.stage, Stage::SignedIn(_)));
        answer
    }

    /// A connection has ended: what was known about it is wiped, and its signatures count no longer.
    fn end(&self, caller: u64, connection: ConnectionId) {
        let slot = self.table.end(caller, connection);
        if let Some(session) = slot.and_then(|slot| slot.lock().session.take()) {
            self.seen.end(&session);
        }
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
            PeopleQuestion::Certificate {
                login,
                target: _,
                through_tunnel,
            } => minting::for_connection(context, conversation, login, *through_tunnel),
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
            Stage::Browser {
                authorization,
                tries,
            } => {
                signing_in_by_browser::code(context, conversation, (authorization, tries), answers)
            }
            Stage::Invitation => signing_up::invitation(context, conversation, answers),
            Stage::NewPassword(invited) => {
                signing_up::first_password(context, conversation, invited, answers)
            }
            Stage::FirstCode(set_up) => {
                signing_up::first_code(context, conversation, *set_up, answers)
            }
            Stage::Stored(answered) => proceed(context, conversation, *answered),
            stage @ (Stage::Idle | Stage::Answered(_) | Stage::SignedIn(_)) => {
                conversation.stage = stage;
                Ok(minting::out_of_turn(context, conversation))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::testing::{parts, person, registered_key};
    use crate::state::NewSignIn;
    use crate::state::testing::{NOW, own_state};

    #[test]
    fn what_is_over_is_removed_once_a_minute() {
        let state = own_state();
        let alice = person(&state, "alice");
        let key = registered_key(&state, &alice);
        let sign_in = || NewSignIn {
            user: alice.id,
            fingerprint: key.fingerprint.clone(),
            client: "203.0.113.7".to_owned(),
            started: NOW - 60,
            until: NOW,
        };
        let service = PeopleService::with_passwords(parts(&state), Passwords::fast());
        let began = *service.swept.lock().unwrap();
        for (seconds, ends) in [(59, 0), (60, 2), (119, 2), (120, 4)] {
            state.sign_ins().begin(&sign_in()).unwrap().unwrap();
            service.sweep(began + Duration::from_secs(seconds)).unwrap();
            let ended = state.sign_ins().since(0, 100).unwrap().len();
            assert_eq!(ended, ends, "after {seconds} s");
        }
    }
}
