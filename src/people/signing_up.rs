//! Sign-up: the invitation, the password, the authenticator. Nothing is stored before a key has proved
//! itself, so a sign-up that is broken off can be begun anew.

use zeroize::Zeroizing;

use super::completion::{proceed, refuse};
use super::context::{Context, Unavailable};
use super::conversation::{
    Answered, Conversation, Invited, Named, NewCredentials, NewFactor, SetUp, Stage,
};
use super::credentials::throttled;
use super::invitation::invitation_hash;
use super::minting::out_of_turn;
use super::password::{MIN_PASSWORD, check_new};
use super::recovery::{new_recovery_codes, recovery_hash};
use super::refusal::Refused;
use super::settings::RequiredFactor;
use super::throttle::{Attempt, Throttle};
use super::totp::{CodeVerdict, OtpSecret};
use crate::ipc::{PeopleAnswer, SecretText};

/// How many passwords or codes may be refused.
pub(super) const MAX_TRIES: u8 = 5;

/// The invitation was answered.
pub(super) fn invitation(
    context: &Context,
    conversation: &mut Conversation,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [typed] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let state = &context.state;
    let now = context.now();
    let attempt = Attempt {
        account: "",
        person: None,
        client: conversation.client.ip(),
        key: None,
    };
    // A client without a terminal answers nothing: that guesses nothing.
    if !typed.expose().is_empty()
        && let Some(wait) = context.throttle.begin(state, &attempt, now)?
    {
        return Ok(throttled(context, &conversation.asker(), None, wait).into());
    }
    let hash = invitation_hash(typed.expose());
    let found = match &hash {
        Some(hash) => state.invitations().find(hash, now)?,
        None => None,
    };
    let user = match &found {
        Some(invitation) => state.users().of_id(invitation.user)?,
        None => None,
    };
    let (Some(user), Some(invitation)) = (user, found) else {
        let refused = Refused::invitation();
        return Ok(refuse(context, conversation, None, refused));
    };
    if user.locked.is_some() {
        let refused = Refused::locked();
        return Ok(refuse(context, conversation, Some(&user), refused));
    }
    Throttle::succeeded(state, &attempt)?;
    let name = &user.name;
    let banner =
        format!("Welcome, {name}. Choose a password of at least {MIN_PASSWORD} characters.");
    conversation.stage = Stage::NewPassword(Invited {
        person: Named {
            id: user.id,
            name: user.name.clone(),
        },
        invitation: invitation.hash,
        tries: 0,
    });
    Ok(context.settings().ask_first_password(&banner))
}

/// Whether two texts are the same new password that can be used, and if not, why.
pub(super) fn chosen<'a>(first: &'a SecretText, again: &SecretText) -> Result<&'a str, String> {
    check_new(first.expose()).map_err(|error| format!("Not changed: {error}."))?;
    match first == again {
        true => Ok(first.expose()),
        false => Err("Not changed: the two passwords differ.".to_owned()),
    }
}

/// The first password was answered, twice.
pub(super) fn first_password(
    context: &Context,
    conversation: &mut Conversation,
    mut invited: Invited,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [first, again] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let settings = context.settings();
    let password = match chosen(first, again) {
        Ok(password) => context.passwords.hash(password)?,
        Err(_) if invited.tries + 1 >= MAX_TRIES => {
            return Ok(refuse(context, conversation, None, Refused::gave_up()));
        }
        Err(why) => {
            invited.tries += 1;
            conversation.stage = Stage::NewPassword(invited);
            return Ok(settings.ask_first_password(&why));
        }
    };
    if settings.second_factor.has_codes() {
        let secret = OtpSecret::random();
        let name = invited.person.name.clone();
        let questions = settings.ask_first_code(&name, &secret, note(settings.second_factor));
        invited.tries = 0;
        conversation.stage = Stage::FirstCode(Box::new(SetUp {
            invited,
            password,
            secret,
        }));
        return Ok(questions);
    }
    let needs_touch = settings.second_factor == RequiredFactor::Webauthn;
    let chosen = Chosen {
        invited,
        password,
        factor: needs_touch.then(|| (OtpSecret::random(), 0)),
        needs_touch,
    };
    chosen.finish(context, conversation)
}

/// What stands before the picture.
fn note(factor: RequiredFactor) -> &'static str {
    match factor {
        RequiredFactor::Any => {
            "If your key is a security key, you need no authenticator: answer with an empty code.\n\n"
        }
        RequiredFactor::Off | RequiredFactor::Otp | RequiredFactor::Webauthn => "",
    }
}

/// The first code of the new authenticator was answered.
pub(super) fn first_code(
    context: &Context,
    conversation: &mut Conversation,
    mut set_up: SetUp,
    answers: &[SecretText],
) -> Result<PeopleAnswer, Unavailable> {
    let [code] = answers else {
        return Ok(out_of_turn(context, conversation));
    };
    let settings = context.settings();
    let is_skipped =
        code.expose().trim().is_empty() && settings.second_factor == RequiredFactor::Any;
    let given = conversation.asker().given(context.now());
    let step = match set_up.secret.check(code.expose(), given) {
        CodeVerdict::Right { step } => Some(step),
        CodeVerdict::ClockOff { .. } | CodeVerdict::Wrong if is_skipped => None,
        _ if set_up.invited.tries + 1 >= MAX_TRIES => {
            return Ok(refuse(context, conversation, None, Refused::gave_up()));
        }
        verdict => {
            set_up.invited.tries += 1;
            let name = &set_up.invited.person.name;
            let questions = settings.ask_first_code(name, &set_up.secret, &why_not(verdict));
            conversation.stage = Stage::FirstCode(Box::new(set_up));
            return Ok(questions);
        }
    };
    let secret = match step {
        Some(_) => set_up.secret,
        // It was shown, and is not used.
        None => OtpSecret::random(),
    };
    let chosen = Chosen {
        invited: set_up.invited,
        password: set_up.password,
        needs_touch: step.is_none(),
        factor: Some((secret, step.unwrap_or(0))),
    };
    chosen.finish(context, conversation)
}

/// Why a first code is asked for again.
pub(super) fn why_not(verdict: CodeVerdict) -> String {
    match verdict {
        CodeVerdict::ClockOff { minutes } => {
            let refused = Refused::clock_off(minutes);
            format!("Not set up: {}.\n\n", refused.message)
        }
        CodeVerdict::Right { .. } | CodeVerdict::Wrong => {
            "Not set up: the code is wrong.\n\n".to_owned()
        }
    }
}

/// Everything that a person has chosen.
struct Chosen {
    invited: Invited,
    password: Zeroizing<String>,
    /// The secret, and the step whose code has set it up.
    factor: Option<(OtpSecret, u64)>,
    needs_touch: bool,
}

impl Chosen {
    /// Shows the recovery codes, if there are any, and then a key has to prove itself.
    fn finish(
        self,
        context: &Context,
        conversation: &mut Conversation,
    ) -> Result<PeopleAnswer, Unavailable> {
        let person = self.invited.person;
        let codes = match self.factor {
            Some(_) => new_recovery_codes(),
            None => Vec::new(),
        };
        let hashes = codes
            .iter()
            .filter_map(|code| recovery_hash(person.id, code));
        let hashes = hashes.collect();
        let answered = Answered {
            factor: "set-up",
            needs_touch: self.needs_touch,
            sign_up: Some(NewCredentials {
                invitation: self.invited.invitation,
                password: self.password,
                factor: self.factor.map(|(secret, step)| NewFactor {
                    secret,
                    step,
                    recovery: hashes,
                }),
            }),
            person,
        };
        if codes.is_empty() {
            return proceed(context, conversation, answered);
        }
        conversation.stage = Stage::Stored(Box::new(answered));
        Ok(context.settings().show_recovery_codes(&codes))
    }
}
