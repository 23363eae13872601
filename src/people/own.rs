//! Commands of people about their own sign-ins and credentials.

use super::changing::{begin_factor, begin_password};
use super::completion::audit_ends;
use super::context::{Context, Unavailable};
use super::conversation::{Conversation, Present, Stage};
use super::minting::{distrust, for_person, still_signed_in};
use super::refusal::{Refused, time};
use crate::audit::PersonEvent;
use crate::ipc::{OwnCommand, PeopleAnswer, SignInEnd};
use crate::state::{SignIn, SignInsOf, User};

/// Carries a command out.
pub(super) fn command(
    context: &Context,
    conversation: &mut Conversation,
    command: &OwnCommand,
) -> Result<PeopleAnswer, Unavailable> {
    let stage = std::mem::replace(&mut conversation.stage, Stage::Idle);
    let Stage::SignedIn(mut present) = stage else {
        conversation.stage = stage;
        return Ok(distrust(
            context,
            conversation,
            "own",
            Refused::not_signed_in(),
        ));
    };
    present.change = None;
    // What is over is not told of, and not ended once more.
    let now = context.now();
    let over = SignInsOf::Before(now);
    context
        .state
        .sign_ins()
        .end(&over, SignInEnd::Expired, now)?;
    let Some((user, sign_in)) = still_signed_in(context, &present)? else {
        let refused = Refused::sign_in_ended();
        return Ok(distrust(context, conversation, "own", refused));
    };
    let is_of_provider = user.provider.is_some();
    let answer = match command {
        OwnCommand::ChangePassword | OwnCommand::ChangeSecondFactor if is_of_provider => {
            Err(Refused::account_of_provider())
        }
        OwnCommand::Status => Ok(status(context, &user, &sign_in)?),
        OwnCommand::Logout { everywhere } => {
            return log_out(context, conversation, &user, &present, *everywhere);
        }
        OwnCommand::Certificate => for_person(context, &present, &user, &sign_in, None)?,
        // Once on a connection, however often it proves its key.
        OwnCommand::CertificateFor { .. } if conversation.has_certified => Err(Refused::one_key()),
        OwnCommand::CertificateFor { key } => {
            let issued = for_person(context, &present, &user, &sign_in, Some(key))?;
            conversation.has_certified |= issued.is_ok();
            issued
        }
        OwnCommand::ChangePassword => Ok(begin_password(context, &mut present)),
        OwnCommand::ChangeSecondFactor => begin_factor(context, &mut present, &user),
        OwnCommand::Keys => Ok(keys(context, &user, &present)?),
        OwnCommand::RemoveKey { fingerprint } => {
            let removed = remove_key(context, conversation, &user, &present, fingerprint)?;
            if let Ok((answer, true)) = removed {
                return Ok(answer);
            }
            removed.map(|(answer, _)| answer)
        }
    };
    let answer = answer.unwrap_or_else(|refused| distrust(context, conversation, "own", refused));
    conversation.stage = Stage::SignedIn(present);
    Ok(answer)
}

fn status(context: &Context, user: &User, current: &SignIn) -> Result<PeopleAnswer, Unavailable> {
    let name = &user.name;
    let until = time(current.until);
    let mut text = format!("{name} is signed in until {until}\n");
    text.push_str(&format!(
        "  {}\n  since {} from {}\n",
        by(current),
        time(current.started),
        current.client
    ));
    text.push_str(&format!("roles: {}\n", listed(&user.roles)));
    let logins = match &user.logins {
        Some(logins) => {
            let logins: Vec<_> = logins.iter().map(ToString::to_string).collect();
            listed(&logins)
        }
        None => "all that the roles allow".to_owned(),
    };
    text.push_str(&format!("logins: {logins}\n"));
    if user.totp {
        let left = context.state.users().recovery_codes_left(user.id)?;
        text.push_str(&format!("recovery codes left: {left}\n"));
    }
    let all = context.state.sign_ins().of_user(user.id, context.now())?;
    for other in all.iter().filter(|one| one.id != current.id) {
        text.push_str(&format!(
            "another sign-in: {}\n  since {} from {}, until {}\n",
            by(other),
            time(other.started),
            other.client,
            time(other.until)
        ));
    }
    Ok(PeopleAnswer::Text(text))
}

/// How a user has signed in, in words.
fn by(sign_in: &SignIn) -> String {
    match &sign_in.fingerprint {
        Some(fingerprint) => format!("with the key {fingerprint}"),
        None => "in a browser".to_owned(),
    }
}

fn listed(items: &[String]) -> String {
    match items {
        [] => "none".to_owned(),
        items => items.join(", "),
    }
}

fn log_out(
    context: &Context,
    conversation: &Conversation,
    user: &User,
    present: &Present,
    everywhere: bool,
) -> Result<PeopleAnswer, Unavailable> {
    let which = match everywhere {
        true => SignInsOf::User(user.id),
        false => SignInsOf::UserWithKey(user.id, present.key.fingerprint.clone()),
    };
    let ended = context
        .state
        .sign_ins()
        .end(&which, SignInEnd::Logout, context.now())?;
    let count = ended.len();
    let ends = (ended.as_slice(), SignInEnd::Logout);
    audit_ends(context, &conversation.asker(), user, ends)?;
    let keys = if everywhere { "all keys" } else { "this key" };
    Ok(PeopleAnswer::Text(format!(
        "signed out with {keys}: {}\n",
        counted(count)
    )))
}

/// How many sign-ins have ended, in words.
fn counted(count: usize) -> String {
    match count {
        1 => "1 sign-in has ended".to_owned(),
        count => format!("{count} sign-ins have ended"),
    }
}

fn keys(context: &Context, user: &User, present: &Present) -> Result<PeopleAnswer, Unavailable> {
    let mut text = String::new();
    for key in context.state.keys().of_user(user.id)? {
        let kind = key.line.split(' ').next().unwrap_or_default();
        let is_current = key.fingerprint == present.key.fingerprint;
        let mark = if is_current { " (this one)" } else { "" };
        let used = key.used.map_or_else(|| "never".to_owned(), time);
        text.push_str(&format!(
            "{} {kind}{mark}\n  registered {}, last used {used}\n",
            key.fingerprint,
            time(key.registered)
        ));
    }
    Ok(PeopleAnswer::Text(text))
}

/// Removes a key; whether this connection's sign-in has ended by it.
fn remove_key(
    context: &Context,
    conversation: &Conversation,
    user: &User,
    present: &Present,
    fingerprint: &str,
) -> Result<Result<(PeopleAnswer, bool), Refused>, Unavailable> {
    let keys = context.state.keys();
    let Some(ended) = keys.remove(user.id, fingerprint, context.now())? else {
        return Ok(Err(Refused::no_such_key()));
    };
    context.audit(PersonEvent::KeyRemoved {
        user: user.name.to_string(),
        sign_in: present.sign_in,
        fingerprint: fingerprint.to_owned(),
        client_addr: conversation.client,
        connection: Some(conversation.connection),
        via: conversation.asker().via(),
    })?;
    let ends = (ended.as_slice(), SignInEnd::KeyRemoved);
    audit_ends(context, &conversation.asker(), user, ends)?;
    let text = format!("removed {fingerprint}: {}\n", counted(ended.len()));
    let is_over = ended.contains(&present.sign_in);
    Ok(Ok((PeopleAnswer::Text(text), is_over)))
}
