//! What a browser asks with a password: to sign a person in, and to change the password. Name, password
//! and code come at once, and wrong ones are answered alike, after the same time, whichever it was.

use super::asker::Asker;
use super::browser_secrets::BrowserToken;
use super::browser_sessions::SignedInBrowser;
use super::completion::{audit_ends, time_to_live};
use super::context::{Context, Unavailable};
use super::credentials::{Credentials, RightAnswers, audit_failure, verify};
use super::password::check_new;
use super::refusal::Refused;
use super::settings::RequiredFactor;
use super::signing_in::shortened;
use crate::audit::{PersonEvent, UnixSeconds};
use crate::ipc::{
    BrowserPasswordQuestion, BrowserPasswordRequest, BrowserSessionAnswer, SecretText, SignInEnd,
};
use crate::state::{NewBrowserSession, SignInsOf};

/// Answers a request with a password. It takes as long as a hash.
pub(super) fn answer(
    context: &Context,
    request: &BrowserPasswordRequest,
) -> Result<BrowserSessionAnswer, Unavailable> {
    let asker = Asker::browser(request.client);
    match &request.ask {
        BrowserPasswordQuestion::SignIn {
            name,
            password,
            code,
        } => sign_in(context, &asker, name, (password, code)),
        BrowserPasswordQuestion::ChangePassword {
            token,
            password,
            code,
            new,
        } => match SignedInBrowser::of(context, token)? {
            Some(present) => change(context, &asker, &present, (password, code), new),
            None => Ok(Refused::no_session().into()),
        },
    }
}

/// Whether a code is needed beside the password. A browser has no security key yet.
fn needs_code(context: &Context) -> Result<bool, Refused> {
    match context.settings().second_factor {
        RequiredFactor::Off => Ok(false),
        RequiredFactor::Any | RequiredFactor::Otp => Ok(true),
        RequiredFactor::Webauthn => Err(Refused::no_security_key_here()),
    }
}

fn sign_in(
    context: &Context,
    asker: &Asker<'_>,
    name: &SecretText,
    (password, code): (&SecretText, &SecretText),
) -> Result<BrowserSessionAnswer, Unavailable> {
    if !context.settings().has_local {
        let refused = Refused::no_passwords();
        audit_failure(context, asker, None, &refused);
        return Ok(refused.into());
    }
    let needs_code = match needs_code(context) {
        Ok(needs_code) => needs_code,
        Err(refused) => {
            audit_failure(context, asker, None, &refused);
            return Ok(refused.into());
        }
    };
    let given = Credentials {
        account: shortened(name.expose().trim()),
        password: password.expose(),
        code: needs_code.then_some(code.expose()),
        takes_otp: true,
    };
    match verify(context, asker, &given)? {
        Ok(right) => begin(context, asker, &right),
        Err(refused) if context.browser().is_some() => Ok(refused.or_at_the_provider().into()),
        Err(refused) => Ok(refused.into()),
    }
}

/// Writes the sign-in down, with a token that is new.
fn begin(
    context: &Context,
    asker: &Asker<'_>,
    right: &RightAnswers,
) -> Result<BrowserSessionAnswer, Unavailable> {
    let (state, now) = (&context.state, context.now());
    let user = state.users().of_id(right.person.id)?;
    let Some(user) = user.filter(|user| user.locked.is_none()) else {
        let refused = Refused::locked();
        audit_failure(context, asker, None, &refused);
        return Ok(refused.into());
    };
    let (token, text) = BrowserToken::random();
    let ttl = time_to_live(&context.settings(), &user);
    let new = NewBrowserSession {
        user: user.id,
        token: token.hash(),
        client: asker.client.ip().to_canonical().to_string(),
        started: now,
        until: now.saturating_add(ttl.as_secs()),
    };
    let Some((sign_in, ended)) = state.sign_ins().begin_in_browser(&new)? else {
        let refused = Refused::locked();
        audit_failure(context, asker, Some(&user), &refused);
        return Ok(refused.into());
    };
    let event = PersonEvent::SignInBegun {
        user: user.name.to_string(),
        sign_in: sign_in.id,
        fingerprint: None,
        until: UnixSeconds(sign_in.until),
        method: "local",
        second_factor: right.factor.unwrap_or("off"),
        client_addr: asker.client,
        connection: asker.connection,
        via: asker.via(),
    };
    if let Err(unavailable) = context.audit(event) {
        // What cannot be audited has not happened.
        let which = SignInsOf::Id(sign_in.id);
        state.sign_ins().end(&which, SignInEnd::Logout, now)?;
        return Err(unavailable);
    }
    audit_ends(context, asker, &user, (ended.as_slice(), SignInEnd::Logout))?;
    let session = SignedInBrowser { user, sign_in }.told();
    let token = SecretText::new(text.to_string());
    Ok(BrowserSessionAnswer::SignedIn { token, session })
}

fn change(
    context: &Context,
    asker: &Asker<'_>,
    present: &SignedInBrowser,
    (password, code): (&SecretText, &SecretText),
    new: &SecretText,
) -> Result<BrowserSessionAnswer, Unavailable> {
    let user = &present.user;
    if user.provider.is_some() {
        return Ok(Refused::account_of_provider().into());
    }
    let needs_code = match needs_code(context) {
        Ok(needs_code) => needs_code,
        Err(refused) => return Ok(refused.into()),
    };
    if let Err(why) = check_new(new.expose()) {
        return Ok(Refused::unfit_password(why).into());
    }
    let given = Credentials {
        account: user.name.as_str(),
        password: password.expose(),
        code: needs_code.then_some(code.expose()),
        takes_otp: true,
    };
    if let Err(refused) = verify(context, asker, &given)? {
        return Ok(refused.into());
    }
    let hash = context.passwords.hash(new.expose())?;
    let keep = present.sign_in.id;
    let users = context.state.users();
    let ended = users.set_password(user.id, &hash, Some(keep), context.now())?;
    context.audit(PersonEvent::PasswordChanged {
        user: user.name.to_string(),
        sign_in: keep,
        client_addr: asker.client,
        connection: asker.connection,
        via: asker.via(),
    })?;
    let ends = (ended.as_slice(), SignInEnd::PasswordChanged);
    audit_ends(context, asker, user, ends)?;
    Ok(BrowserSessionAnswer::Done)
}
