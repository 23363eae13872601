//! How people who are signed in change their password and their authenticator. Both begin with the
//! present password, and the authenticator with a code too: a connection that was left open is not
//! enough.

use super::completion::{audit_ends, factor_of};
use super::context::{Context, Unavailable};
use super::conversation::{Change, Conversation, Present, Stage};
use super::credentials::{Credentials, audit_failure, verify};
use super::minting::{distrust, out_of_turn, still_signed_in};
use super::password::MIN_PASSWORD;
use super::questions::recovery_codes;
use super::recovery::{new_recovery_codes, recovery_hash};
use super::refusal::Refused;
use super::signing_up::{MAX_TRIES, chosen, why_not};
use super::totp::{CodeVerdict, OtpSecret};
use crate::audit::PersonEvent;
use crate::ipc::{PeopleAnswer, SecretText, SignInEnd};
use crate::state::User;

/// Asks for the password and the new one.
pub(super) fn begin_password(context: &Context, present: &mut Present) -> PeopleAnswer {
    present.change = Some(Change::Password { tries: 0 });
    let banner = format!("Choose a password of at least {MIN_PASSWORD} characters.");
    context.settings().ask_change(&present.person.name, &banner)
}

/// Asks for the password, and for a code if there is an authenticator.
pub(super) fn begin_factor(
    context: &Context,
    present: &mut Present,
    user: &User,
) -> Result<PeopleAnswer, Refused> {
    let settings = context.settings();
    if !settings.second_factor.has_codes() {
        return Err(Refused::not_used());
    }
    let asks_code = user.totp;
    present.change = Some(Change::Factor { asks_code });
    Ok(settings.ask_credentials(present.person.name.as_str(), asks_code))
}

/// The answers to the last questions of a change.
pub(super) fn answer(
    context: &Context,
    conversation: &mut Conversation,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let stage = std::mem::replace(&mut conversation.stage, Stage::Idle);
    let Stage::SignedIn(mut present) = stage else {
        conversation.stage = stage;
        return Ok(out_of_turn(context, conversation));
    };
    let Some((user, _)) = still_signed_in(context, &present)? else {
        let refused = Refused::sign_in_ended();
        return Ok(distrust(context, conversation, "answer", refused));
    };
    let answer = match present.change.take() {
        Some(Change::Password { tries }) => {
            password(context, conversation, &mut present, &user, tries, answers)?
        }
        Some(Change::Factor { asks_code }) => factor(
            context,
            conversation,
            &mut present,
            &user,
            asks_code,
            answers,
        )?,
        Some(Change::FirstCode { secret, tries }) => first_code(
            context,
            conversation,
            &mut present,
            &user,
            (secret, tries),
            answers,
        )?,
        None => out_of_turn(context, conversation),
    };
    conversation.stage = Stage::SignedIn(present);
    Ok(answer)
}

fn gave_up(context: &Context, conversation: &Conversation, user: &User) -> PeopleAnswer {
    let refused = Refused::gave_up();
    audit_failure(context, &conversation.asker(), Some(user), &refused);
    refused.into()
}

fn password(
    context: &Context,
    conversation: &Conversation,
    present: &mut Present,
    user: &User,
    tries: u8,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [old, first, again] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let new = match chosen(first, again) {
        Ok(new) => new,
        Err(_) if tries + 1 >= MAX_TRIES => return Ok(gave_up(context, conversation, user)),
        Err(why) => {
            present.change = Some(Change::Password { tries: tries + 1 });
            return Ok(context.settings().ask_change(&user.name, &why));
        }
    };
    let given = Credentials {
        account: user.name.as_str(),
        password: old.expose(),
        code: None,
        takes_otp: false,
    };
    if let Err(refused) = verify(context, &conversation.asker(), &given)? {
        return Ok(refused.into());
    }
    let hash = context.passwords.hash(new)?;
    let users = context.state.users();
    let ended = users.set_password(user.id, &hash, Some(present.sign_in), context.now())?;
    context.audit(PersonEvent::PasswordChanged {
        user: user.name.to_string(),
        sign_in: present.sign_in,
        client_addr: conversation.client,
        connection: Some(conversation.connection),
        via: conversation.asker().via(),
    })?;
    let ends = (ended.as_slice(), SignInEnd::PasswordChanged);
    audit_ends(context, &conversation.asker(), user, ends)?;
    let others = match ended.len() {
        0 => "you had no other sign-ins".to_owned(),
        1 => "your other sign-in has ended".to_owned(),
        count => format!("your {count} other sign-ins have ended"),
    };
    Ok(PeopleAnswer::Text(format!(
        "the password is changed; {others}\n"
    )))
}

fn factor(
    context: &Context,
    conversation: &Conversation,
    present: &mut Present,
    user: &User,
    asks_code: bool,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let (password, code) = match answers {
        [password, code] if asks_code => (password, Some(code.expose())),
        [password] if !asks_code => (password, None),
        _ => return Ok(out_of_turn(context, conversation)),
    };
    let given = Credentials {
        account: user.name.as_str(),
        password: password.expose(),
        code,
        takes_otp: true,
    };
    if let Err(refused) = verify(context, &conversation.asker(), &given)? {
        return Ok(refused.into());
    }
    let secret = OtpSecret::random();
    let questions = context.settings().ask_first_code(&user.name, &secret, "");
    present.change = Some(Change::FirstCode { secret, tries: 0 });
    Ok(questions)
}

fn first_code(
    context: &Context,
    conversation: &Conversation,
    present: &mut Present,
    user: &User,
    (secret, tries): (OtpSecret, u8),
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [code] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let step = match secret.check(code.expose(), conversation.asker().given(context.now())) {
        CodeVerdict::Right { step } => step,
        _ if tries + 1 >= MAX_TRIES => return Ok(gave_up(context, conversation, user)),
        verdict => {
            let note = why_not(verdict);
            let questions = context
                .settings()
                .ask_first_code(&user.name, &secret, &note);
            let tries = tries + 1;
            present.change = Some(Change::FirstCode { secret, tries });
            return Ok(questions);
        }
    };
    let codes = new_recovery_codes();
    let hashes = codes.iter().filter_map(|code| recovery_hash(user.id, code));
    let factor = factor_of(&secret, step, hashes.collect());
    let users = context.state.users();
    users.set_second_factor(user.id, Some(&factor))?;
    context.audit(PersonEvent::SecondFactorChanged {
        user: user.name.to_string(),
        sign_in: present.sign_in,
        client_addr: conversation.client,
        connection: conversation.connection,
    })?;
    let codes = recovery_codes(&codes);
    Ok(PeopleAnswer::Text(format!(
        "the new authenticator counts from now on\n\n{}",
        codes.as_str()
    )))
}
