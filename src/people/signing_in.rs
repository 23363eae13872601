//! The questions of a person who has an account: name, password, code; or a browser takes their place.

use super::completion::{proceed, refuse, signed_in};
use super::context::{Context, Unavailable};
use super::conversation::{Answered, Conversation, Stage};
use super::credentials::{Credentials, RightAnswers, may_ask, verify};
use super::minting::out_of_turn;
use super::questions::BROWSER;
use super::refusal::Refused;
use super::settings::RequiredFactor;
use super::signing_in_by_browser;
use crate::ipc::{PeopleAnswer, SecretText};
use crate::model::UserName;

/// How much of a name that was typed is looked at, in bytes: no account has a longer one.
const MAX_NAME: usize = 256;

/// What a person needs besides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    /// Nothing more: the key that has proved itself is a touched security key, or nothing is asked for.
    Nothing(&'static str),
    /// A code of the authenticator, or a recovery code.
    Code,
    /// A recovery code, and then a touched security key.
    RecoveryCode,
    /// Another key than the one that has proved itself.
    OtherKey,
}

/// What is needed with the key that has proved itself, which is registered or none.
fn needed(factor: RequiredFactor, conversation: &Conversation) -> Needed {
    let registered = conversation.registered().map(|(proved, _)| proved);
    let is_touched = registered.is_some_and(|proved| proved.is_touched);
    match factor {
        RequiredFactor::Off => Needed::Nothing("off"),
        RequiredFactor::Any | RequiredFactor::Webauthn if is_touched => {
            Needed::Nothing("security-key")
        }
        RequiredFactor::Any | RequiredFactor::Otp => Needed::Code,
        RequiredFactor::Webauthn if registered.is_some() => Needed::OtherKey,
        RequiredFactor::Webauthn => Needed::RecoveryCode,
    }
}

/// A client is ready for questions.
pub(super) fn begin(
    context: &Context,
    conversation: &mut Conversation,
) -> Result<PeopleAnswer, Unavailable> {
    let settings = context.settings();
    if UserName::is_sign_up(&conversation.user) {
        return match settings.has_local {
            true => ask_invitation(context, conversation),
            false => Ok(refuse(context, conversation, None, Refused::no_sign_up())),
        };
    }
    let browser = context.browser();
    let Some((_, person)) = conversation.registered() else {
        let question = match browser {
            Some(browser) if !settings.has_local => {
                return signing_in_by_browser::begin(context, browser, conversation);
            }
            Some(_) => settings.ask_name_or_browser(&conversation.user),
            None => settings.ask_name(&conversation.user),
        };
        conversation.stage = Stage::Name;
        return Ok(question);
    };
    let name = person.name.to_string();
    let user = context.state.users().of_id(person.id)?;
    let is_of_provider = user.as_ref().is_some_and(|user| user.provider.is_some());
    match browser {
        Some(browser) if is_of_provider || !settings.has_local => {
            signing_in_by_browser::begin(context, browser, conversation)
        }
        None if is_of_provider => {
            let refused = Refused::no_provider();
            Ok(refuse(context, conversation, user.as_ref(), refused))
        }
        _ => ask_credentials(context, conversation, &name),
    }
}

fn ask_invitation(
    context: &Context,
    conversation: &mut Conversation,
) -> Result<PeopleAnswer, Unavailable> {
    if let Err(refused) = may_ask(context, &conversation.asker(), "")? {
        conversation.stage = Stage::Idle;
        return Ok(refused.into());
    }
    conversation.stage = Stage::Invitation;
    Ok(context.settings().ask_invitation())
}

/// Asks for the password and the code of an account, whether there is one or not.
fn ask_credentials(
    context: &Context,
    conversation: &mut Conversation,
    account: &str,
) -> Result<PeopleAnswer, Unavailable> {
    let settings = context.settings();
    let needed = needed(settings.second_factor, conversation);
    if needed == Needed::OtherKey {
        let refused = Refused::security_key_needed();
        return Ok(refuse(context, conversation, None, refused));
    }
    if let Err(refused) = may_ask(context, &conversation.asker(), account)? {
        conversation.stage = Stage::Idle;
        return Ok(refused.into());
    }
    let asks_code = !matches!(needed, Needed::Nothing(_));
    conversation.stage = Stage::Credentials {
        account: account.to_owned(),
        asks_code,
    };
    Ok(settings.ask_credentials(account, asks_code))
}

/// The name was answered; an empty one is the user name of the client's requests.
pub(super) fn name(
    context: &Context,
    conversation: &mut Conversation,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [typed] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let typed = typed.expose().trim();
    if let Some(browser) = context.browser()
        && typed.eq_ignore_ascii_case(BROWSER)
    {
        return signing_in_by_browser::begin(context, browser, conversation);
    }
    let account = match typed {
        "" => conversation.user.clone(),
        name => shortened(name).to_owned(),
    };
    ask_credentials(context, conversation, &account)
}

/// As much of a name that was typed as is looked at.
pub(super) fn shortened(name: &str) -> &str {
    let end = name.floor_char_boundary(MAX_NAME);
    name.get(..end).unwrap_or_default()
}

/// The password, and perhaps a code, were answered.
pub(super) fn credentials(
    context: &Context,
    conversation: &mut Conversation,
    account: &str,
    asks_code: bool,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let needed = needed(context.settings().second_factor, conversation);
    let (password, code) = match answers {
        [password, code] if asks_code => (password, Some(code.expose())),
        [password] if !asks_code => (password, None),
        _ => return Ok(out_of_turn(context, conversation)),
    };
    if asks_code == matches!(needed, Needed::Nothing(_)) {
        // The configuration has changed since the question.
        return ask_credentials(context, conversation, account);
    }
    let given = Credentials {
        account,
        password: password.expose(),
        code,
        takes_otp: needed == Needed::Code,
    };
    match verify(context, &conversation.asker(), &given)? {
        Ok(right) => answered(context, conversation, right, needed),
        Err(refused) => Ok(refused.into()),
    }
}

/// The answers were right.
fn answered(
    context: &Context,
    conversation: &mut Conversation,
    right: RightAnswers,
    needed: Needed,
) -> Result<PeopleAnswer, Unavailable> {
    let without_code = match needed {
        Needed::Nothing(factor) => factor,
        Needed::Code | Needed::RecoveryCode | Needed::OtherKey => "off",
    };
    let answered = Answered {
        person: right.person,
        factor: right.factor.unwrap_or(without_code),
        needs_touch: needed == Needed::RecoveryCode,
        sign_up: None,
    };
    proceed(context, conversation, answered)
}

/// A client asks for questions on a connection that is signed in.
pub(super) fn again(
    context: &Context,
    conversation: &mut Conversation,
) -> Result<PeopleAnswer, Unavailable> {
    let Some(present) = conversation.present() else {
        return begin(context, conversation);
    };
    let (person, id, key) = (present.person.id, present.sign_in, present.key.clone());
    let now = context.now();
    let live = context.state.sign_ins().of_user(person, now)?;
    let sign_in = live.into_iter().find(|sign_in| sign_in.id == id);
    let user = context.state.users().of_id(person)?;
    match (user, sign_in) {
        (Some(user), Some(sign_in)) if user.locked.is_none() => {
            Ok(signed_in(conversation, &user, &sign_in, key, false))
        }
        _ => begin(context, conversation),
    }
}
