//! The terminal's side of a sign-in with a browser: it shows a link, and waits for the code that the
//! browser shows after the identity provider has agreed. The code counts in this conversation alone, so
//! who has only the link or only the terminal gets nothing.

use uuid::Uuid;

use super::browser::failed;
use super::browser_secrets::{Ticket, browser_code_hash, provider_state_hash};
use super::completion::{proceed, refuse};
use super::context::{Context, Unavailable};
use super::conversation::{Answered, BY_PROVIDER, Conversation, Stage};
use super::credentials::{audit_failure, throttled};
use super::provider::BrowserSignIn;
use super::refusal::Refused;
use super::signing_up::MAX_TRIES;
use super::throttle::{Attempt, Throttle};
use super::vouched::settle;
use crate::audit::PersonEvent;
use crate::ipc::{PeopleAnswer, SecretText};
use crate::model::network;
use crate::state::{AuthorizationLimits, AuthorizationProgress, NewAuthorization};

/// How long a link and its code are of use, in seconds.
const LIFE: u64 = 5 * 60;
/// How many links may wait at a time.
const LIMITS: AuthorizationLimits = AuthorizationLimits {
    of_source: 50,
    in_all: 10_000,
};

/// Shows a link, and asks for the code.
pub(super) fn begin(
    context: &Context,
    browser: &BrowserSignIn,
    conversation: &mut Conversation,
) -> Result<PeopleAnswer, Unavailable> {
    let state = &context.state;
    let now = state.now();
    if let Stage::Browser { authorization, .. } = conversation.stage {
        // The link of before is not of use beside the new one.
        state.authorizations().remove(authorization)?;
    }
    conversation.stage = Stage::Idle;
    // Nothing is counted under this name: what counts is how much of the source was wrong.
    let none = conversation.connection.to_string();
    let wait = Throttle::look(state, &attempt(conversation, &none), now)?;
    if let Some(wait) = wait {
        return Ok(throttled(context, &conversation.asker(), None, wait).into());
    }
    let texts = match browser.provider.begin() {
        Ok(texts) => texts,
        Err(error) => return Ok(refuse(context, conversation, None, failed(&error))),
    };
    let (ticket, text) = Ticket::random();
    let new = NewAuthorization {
        ticket: ticket.hash(),
        state: provider_state_hash(&ticket.provider_state()),
        nonce: texts.nonce,
        verifier: texts.verifier,
        connection: conversation.connection.to_string(),
        client: conversation.client.to_string(),
        source: network(conversation.client.ip()).to_string(),
        created: now,
        expires: now.saturating_add(LIFE),
    };
    let Some(authorization) = state.authorizations().begin(&new, LIMITS)? else {
        let refused = Refused::too_many_links();
        return Ok(refuse(context, conversation, None, refused));
    };
    context.audit(PersonEvent::AuthorizationBegun {
        client_addr: conversation.client,
        connection: conversation.connection,
    })?;
    conversation.stage = Stage::Browser {
        authorization,
        tries: 0,
    };
    let link = format!("{}/webapi/oidc/login/{}", browser.origin, text.as_str());
    Ok(context.settings().ask_browser_code(&link))
}

/// The code was answered.
pub(super) fn code(
    context: &Context,
    conversation: &mut Conversation,
    (authorization, tries): (Uuid, u8),
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [typed] = answers else {
        return Ok(Refused::out_of_turn().into());
    };
    let state = &context.state;
    let now = context.now();
    let account = authorization.to_string();
    let hash = browser_code_hash(authorization, typed.expose());
    // What cannot be a code guesses nothing.
    if hash.is_some() {
        let attempt = attempt(conversation, &account);
        if let Some(wait) = context.throttle.begin(state, &attempt, now)? {
            return Ok(throttled(context, &conversation.asker(), None, wait).into());
        }
    }
    let vouched = match &hash {
        Some(hash) => state.authorizations().spend(authorization, hash, now)?,
        None => None,
    };
    let Some(vouched) = vouched else {
        return wrong(context, conversation, authorization, tries);
    };
    Throttle::succeeded(state, &attempt(conversation, &account))?;
    let person = match settle(context, conversation, &vouched)? {
        Ok(person) => person,
        Err(refused) => {
            let user = state.users().of_subject(&vouched.subject)?;
            return Ok(refuse(context, conversation, user.as_ref(), refused));
        }
    };
    let answered = Answered {
        person,
        factor: BY_PROVIDER,
        needs_touch: false,
        sign_up: None,
    };
    proceed(context, conversation, answered)
}

/// A code was wrong: it is asked for again, a few times, as long as the link is of use.
fn wrong(
    context: &Context,
    conversation: &mut Conversation,
    authorization: Uuid,
    tries: u8,
) -> Result<PeopleAnswer, Unavailable> {
    let authorizations = context.state.authorizations();
    let progress = authorizations.progress(authorization, context.now())?;
    let note = match progress {
        None => return Ok(refuse(context, conversation, None, Refused::link_over())),
        Some(_) if tries + 1 >= MAX_TRIES => {
            authorizations.remove(authorization)?;
            return Ok(refuse(context, conversation, None, Refused::gave_up()));
        }
        Some(AuthorizationProgress::Waiting) => {
            "The browser shows the code after you have signed in there."
        }
        Some(AuthorizationProgress::Returned) => {
            "The browser shows no code yet. If it shows why not, connect again for a new link."
        }
        Some(AuthorizationProgress::Answered) => "This is not the code that the browser shows.",
    };
    audit_failure(
        context,
        &conversation.asker(),
        None,
        &Refused::wrong_browser_code(),
    );
    conversation.stage = Stage::Browser {
        authorization,
        tries: tries + 1,
    };
    Ok(context.settings().ask_browser_code_again(note))
}

/// An attempt, as the throttle counts it: those with this authorization, and all of the source. A key of
/// a user that has proved itself is counted apart.
fn attempt<'a>(conversation: &'a Conversation, authorization: &'a str) -> Attempt<'a> {
    let registered = conversation.registered();
    Attempt {
        account: authorization,
        person: registered.map(|(_, person)| person.id),
        client: conversation.client.ip(),
        key: registered.map(|(proved, _)| proved.fingerprint.as_str()),
    }
}
