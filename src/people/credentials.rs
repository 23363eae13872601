//! Whether answers are right: the password, then the code. Names that nobody has take the same way, and
//! the same time.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::asker::Asker;
use super::context::{Context, Unavailable};
use super::conversation::Named;
use super::password::Verdict;
use super::recovery::recovery_hash;
use super::refusal::Refused;
use super::throttle::{Attempt, Throttle, Wait};
use super::totp::{CodeVerdict, OtpSecret};
use crate::audit::PersonEvent;
use crate::state::User;

/// What was answered.
#[derive(Debug)]
pub(super) struct Credentials<'a> {
    /// The account, as it was typed.
    pub(super) account: &'a str,
    pub(super) password: &'a str,
    /// `None` if no code was asked for.
    pub(super) code: Option<&'a str>,
    /// Whether the authenticator's codes count; recovery codes always do.
    pub(super) takes_otp: bool,
}

/// Answers that were right.
#[derive(Debug)]
pub(super) struct RightAnswers {
    pub(super) person: Named,
    /// Which second factor it was; `None` if no code was asked for.
    pub(super) factor: Option<&'static str>,
}

/// Verifies answers. Wrong ones are audited, and count in the throttle.
pub(super) fn verify(
    context: &Context,
    asker: &Asker<'_>,
    given: &Credentials<'_>,
) -> Result<Result<RightAnswers, Refused>, Unavailable> {
    let refuse = |user: Option<&User>, refused: Refused| {
        audit_failure(context, asker, user, &refused);
        Ok(Err(refused))
    };
    let state = &context.state;
    let user = state.users().get(given.account)?;
    // A client without a terminal answers like this: it guesses nothing, so nothing is counted.
    if given.password.is_empty() {
        return refuse(user.as_ref(), wrong(given));
    }
    // A hash takes its time, in which a code grows old.
    let at = asker.given(context.now());
    let attempt = attempt(asker, given.account, user.as_ref());
    if let Some(wait) = context.throttle.begin(state, &attempt, context.now())? {
        return Ok(Err(throttled(context, asker, user.as_ref(), wait)));
    }
    let person = user.as_ref().map_or_else(Uuid::now_v7, |user| user.id);
    let hash = state.users().password_hash(person)?;
    let otp = state.users().totp(person)?;
    let verdict = context
        .passwords
        .verify(given.password, as_str(hash.as_ref()));
    let secret = otp.and_then(|otp| OtpSecret::from_base32(&otp.secret));
    let code = check_code(given, secret, at);
    let user = match user {
        Some(user) if verdict.is_right() => user,
        user => return refuse(user.as_ref(), wrong(given)),
    };
    let factor = match given.code {
        Some(typed) => match spend(context, &user, typed, given.takes_otp, code)? {
            Ok(factor) => Some(factor),
            Err(refused) => return refuse(Some(&user), refused),
        },
        None => None,
    };
    // After the code: whether a password is right is told to none who lacks the second factor.
    if user.locked.is_some() {
        return refuse(Some(&user), Refused::locked());
    }
    if let (Verdict::RightRehash, Some(old)) = (verdict, &hash) {
        let new = context.passwords.hash(given.password)?;
        state.users().replace_hash(user.id, old, &new)?;
    }
    Throttle::succeeded(state, &attempt)?;
    Ok(Ok(RightAnswers {
        person: Named {
            id: user.id,
            name: user.name,
        },
        factor,
    }))
}

/// Refuses to ask for credentials as long as the answers would not be looked at.
pub(super) fn may_ask(
    context: &Context,
    asker: &Asker<'_>,
    account: &str,
) -> Result<Result<(), Refused>, Unavailable> {
    let user = context.state.users().get(account)?;
    let attempt = attempt(asker, account, user.as_ref());
    let wait = Throttle::look(&context.state, &attempt, context.now())?;
    Ok(match wait {
        Some(wait) => Err(throttled(context, asker, user.as_ref(), wait)),
        None => Ok(()),
    })
}

/// Writes down that a client has to wait.
pub(super) fn throttled(
    context: &Context,
    asker: &Asker<'_>,
    user: Option<&User>,
    wait: Wait,
) -> Refused {
    let now = context.now();
    context.audit_refusal(PersonEvent::SignInThrottled {
        user: user.map(|user| user.name.to_string()),
        reason: wait.because,
        seconds: wait.until.saturating_sub(now),
        client_addr: asker.client,
        connection: asker.connection,
        via: asker.via(),
    });
    Refused::throttled(wait.until, now)
}

/// Writes down that a client was refused.
pub(super) fn audit_failure(
    context: &Context,
    asker: &Asker<'_>,
    user: Option<&User>,
    refused: &Refused,
) {
    let proved = asker.proved;
    context.audit_refusal(PersonEvent::SignInFailed {
        user: user.map(|user| user.name.to_string()),
        reason: refused.reason,
        message: refused.message.clone(),
        fingerprint: proved.map(|proved| proved.fingerprint.clone()),
        client_addr: asker.client,
        connection: asker.connection,
        via: asker.via(),
    });
}

fn as_str(hash: Option<&Zeroizing<String>>) -> Option<&str> {
    hash.map(|hash| hash.as_str())
}

fn wrong(given: &Credentials<'_>) -> Refused {
    match given.code {
        Some(_) => Refused::wrong_answers(),
        None => Refused::wrong_password(),
    }
}

/// The attempt, as the throttle counts it. A key counts for the person who has registered it only.
fn attempt<'a>(asker: &Asker<'a>, account: &'a str, user: Option<&User>) -> Attempt<'a> {
    let person = user.map(|user| user.id);
    let registered = asker.registered();
    let key = registered.filter(|(_, named)| Some(named.id) == person);
    Attempt {
        account,
        person,
        client: asker.client.ip(),
        key: key.map(|(proved, _)| proved.fingerprint.as_str()),
    }
}

/// What a code was worth at a moment, in seconds since the epoch; `None` for an account that has none. It
/// takes the same time.
fn check_code(given: &Credentials<'_>, secret: Option<OtpSecret>, at: u64) -> Option<CodeVerdict> {
    let is_some = secret.is_some();
    let secret = secret.unwrap_or_else(OtpSecret::random);
    let verdict = secret.check(given.code.unwrap_or_default(), at);
    is_some.then_some(verdict)
}

/// Spends the code of a person whose password was right; gives which factor it was.
fn spend(
    context: &Context,
    user: &User,
    typed: &str,
    takes_otp: bool,
    code: Option<CodeVerdict>,
) -> Result<Result<&'static str, Refused>, Unavailable> {
    let users = context.state.users();
    if let Some(hash) = recovery_hash(user.id, typed) {
        return Ok(match users.spend_recovery_code(user.id, &hash)? {
            true => Ok("recovery-code"),
            false => Err(Refused::wrong_answers()),
        });
    }
    Ok(match code.filter(|_| takes_otp) {
        Some(CodeVerdict::Right { step }) => match users.spend_totp_step(user.id, step)? {
            true => Ok("otp"),
            false => Err(Refused::code_spent()),
        },
        Some(CodeVerdict::ClockOff { minutes }) => Err(Refused::clock_off(minutes)),
        Some(CodeVerdict::Wrong) => Err(Refused::wrong_answers()),
        None if takes_otp => Err(Refused::no_second_factor()),
        None => Err(Refused::wrong_answers()),
    })
}
