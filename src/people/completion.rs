//! The last step of every way to sign in: right answers and a proved key become a sign-in.

use std::time::Duration;

use uuid::Uuid;

use super::asker::Asker;
use super::context::{Context, Unavailable};
use super::conversation::{
    Answered, BY_PROVIDER, Conversation, Named, NewCredentials, Present, ProvedKey, Stage,
};
use super::credentials::audit_failure;
use super::keys::{register, registration};
use super::refusal::Refused;
use super::settings::PeopleSettings;
use super::totp::OtpSecret;
use crate::audit::{PersonEvent, UnixSeconds};
use crate::ipc::{PeopleAnswer, SignInEnd, SignedIn};
use crate::state::{
    NewSignIn, SecondFactor, SignIn, SignInsOf, SignUp, StateError, TotpSecret, User,
};

/// Everything is answered: the key that has proved itself completes it, or else the next one.
pub(super) fn proceed(
    context: &Context,
    conversation: &mut Conversation,
    answered: Answered,
) -> Result<PeopleAnswer, Unavailable> {
    let id = answered.person.id;
    let is_theirs = |person: &Option<Named>| person.as_ref().is_none_or(|one| one.id == id);
    let usable = conversation.proved.take_if(|proved| {
        is_theirs(&proved.person) && (proved.is_touched || !answered.needs_touch)
    });
    match usable {
        Some(proved) => complete(context, conversation, &answered, proved),
        None => {
            conversation.stage = Stage::Answered(Box::new(answered));
            Ok(PeopleAnswer::ProveKey)
        }
    }
}

/// Signs the person in with the key, which is registered if it is new.
pub(super) fn complete(
    context: &Context,
    conversation: &mut Conversation,
    answered: &Answered,
    proved: ProvedKey,
) -> Result<PeopleAnswer, Unavailable> {
    let person = &answered.person;
    let Some(user) = context.state.users().of_id(person.id)? else {
        return Ok(refuse(context, conversation, None, Refused::locked()));
    };
    if let Some(refused) = refusal_of_key(context, &user, answered, &proved)? {
        return Ok(refuse(context, conversation, Some(&user), refused));
    }
    let registered = match &answered.sign_up {
        Some(new) => sign_up(context, conversation, person, new, &proved)?,
        None => register(context, person, &proved.key)?,
    };
    match registered {
        Ok(true) => context.audit(PersonEvent::KeyRegistered {
            user: person.name.to_string(),
            fingerprint: proved.fingerprint.clone(),
            client_addr: conversation.client,
            connection: conversation.connection,
        })?,
        Ok(false) => {}
        Err(refused) => return Ok(refuse(context, conversation, Some(&user), refused)),
    }
    begin(context, conversation, &user, answered.factor, proved)
}

/// Whether the key can complete the answers; nothing is changed.
fn refusal_of_key(
    context: &Context,
    user: &User,
    answered: &Answered,
    proved: &ProvedKey,
) -> Result<Option<Refused>, Unavailable> {
    if user.locked.is_some() {
        return Ok(Some(Refused::locked()));
    }
    if answered.needs_touch && !proved.is_touched {
        return Ok(Some(Refused::security_key_needed()));
    }
    // Before an invitation is spent.
    let holder = context.state.keys().of_fingerprint(&proved.fingerprint)?;
    let is_others = holder.is_some_and(|(holder, _)| holder.id != user.id);
    Ok(is_others.then(Refused::key_of_another))
}

/// Spends the invitation, and stores the credentials and the key: all of it or nothing.
fn sign_up(
    context: &Context,
    conversation: &Conversation,
    person: &Named,
    new: &NewCredentials,
    proved: &ProvedKey,
) -> Result<Result<bool, Refused>, Unavailable> {
    let now = context.now();
    let factor = new.factor.as_ref();
    let sign_up = SignUp {
        invitation: new.invitation.clone(),
        password: new.password.clone(),
        second_factor: factor.map(|set| factor_of(&set.secret, set.step, set.recovery.clone())),
        key: registration(person, &proved.key, now),
    };
    match context.state.users().sign_up(&sign_up, now) {
        Ok(true) => {}
        Ok(false) => return Ok(Err(Refused::invitation())),
        Err(StateError::KeyTaken(_)) => return Ok(Err(Refused::key_of_another())),
        Err(error) => return Err(error.into()),
    }
    context.audit(PersonEvent::InvitationSpent {
        user: person.name.to_string(),
        client_addr: conversation.client,
        connection: conversation.connection,
    })?;
    Ok(Ok(true))
}

/// A second factor, as the state keeps it. The code of `step` set it up and counts no more.
pub(super) fn factor_of(secret: &OtpSecret, step: u64, recovery: Vec<String>) -> SecondFactor {
    SecondFactor {
        totp: TotpSecret {
            secret: secret.to_base32(),
            last_step: step,
        },
        recovery,
    }
}

/// Writes down that sign-ins have ended by the person's own act.
pub(super) fn audit_ends(
    context: &Context,
    asker: &Asker<'_>,
    user: &User,
    (ended, reason): (&[Uuid], SignInEnd),
) -> Result<(), Unavailable> {
    for sign_in in ended {
        context.audit(PersonEvent::SignInEnded {
            user: user.name.to_string(),
            sign_in: *sign_in,
            reason: reason.name(),
            client_addr: Some(asker.client),
            connection: asker.connection,
            actor: None,
        })?;
    }
    Ok(())
}

/// Writes the sign-in down.
fn begin(
    context: &Context,
    conversation: &mut Conversation,
    user: &User,
    factor: &'static str,
    proved: ProvedKey,
) -> Result<PeopleAnswer, Unavailable> {
    let now = context.now();
    let ttl = time_to_live(&context.settings(), user);
    let new = NewSignIn {
        user: user.id,
        fingerprint: proved.fingerprint.clone(),
        client: conversation.client.ip().to_canonical().to_string(),
        started: now,
        until: now.saturating_add(ttl.as_secs()),
    };
    let Some(sign_in) = context.state.sign_ins().begin(&new)? else {
        return Ok(refuse(context, conversation, Some(user), Refused::locked()));
    };
    let event = PersonEvent::SignInBegun {
        user: user.name.to_string(),
        sign_in: sign_in.id,
        fingerprint: Some(proved.fingerprint.clone()),
        until: UnixSeconds(sign_in.until),
        method: match factor {
            BY_PROVIDER => "oidc",
            _ => "local",
        },
        second_factor: factor,
        client_addr: conversation.client,
        connection: Some(conversation.connection),
        via: conversation.asker().via(),
    };
    if let Err(unavailable) = context.audit(event) {
        // What cannot be audited has not happened.
        let which = SignInsOf::Id(sign_in.id);
        context
            .state
            .sign_ins()
            .end(&which, SignInEnd::Logout, now)?;
        return Err(unavailable);
    }
    Ok(signed_in(conversation, user, &sign_in, proved, true))
}

/// How long a sign-in of this person lasts: no role would accept a longer one.
pub(super) fn time_to_live(settings: &PeopleSettings, user: &User) -> Duration {
    let name = user.name.as_str();
    let known = settings.policy.roles_of(name, &user.roles);
    for role in &user.roles {
        if !known.iter().any(|one| one.name == *role) {
            tracing::warn!("{name} has the role {role:?}, which the configuration does not have");
        }
    }
    match settings.policy.max_ttl(name, &user.roles) {
        Some((most, _)) => settings.sign_in_ttl.min(most),
        None => settings.sign_in_ttl,
    }
}

/// The person is signed in on this connection from now on.
pub(super) fn signed_in(
    conversation: &mut Conversation,
    user: &User,
    sign_in: &SignIn,
    key: ProvedKey,
    was_asked: bool,
) -> PeopleAnswer {
    let person = Named {
        id: user.id,
        name: user.name.clone(),
    };
    let key = ProvedKey {
        person: Some(person.clone()),
        ..key
    };
    conversation.proved = Some(key.clone());
    conversation.stage = Stage::SignedIn(Box::new(Present {
        person,
        sign_in: sign_in.id,
        key,
        change: None,
    }));
    PeopleAnswer::SignedIn(SignedIn {
        id: sign_in.id,
        name: user.name.to_string(),
        roles: user.roles.clone(),
        logins: user.logins.clone(),
        since: sign_in.started,
        until: sign_in.until,
        was_asked,
    })
}

/// Writes a refusal down, and forgets what was answered.
pub(super) fn refuse(
    context: &Context,
    conversation: &mut Conversation,
    user: Option<&User>,
    refused: Refused,
) -> PeopleAnswer {
    audit_failure(context, &conversation.asker(), user, &refused);
    conversation.stage = Stage::Idle;
    refused.into()
}
