//! What a browser asks that has a token: who is signed in, which hosts there are, and about the person's
//! own keys and sign-ins. The token is looked up by its hash each time, so that a sign-in that has ended
//! is over for browsers at once.

use uuid::Uuid;

use super::asker::Asker;
use super::browser_secrets::BrowserToken;
use super::completion::audit_ends;
use super::context::{Context, Unavailable};
use super::hosts::HostList;
use super::refusal::Refused;
use super::settings::RequiredFactor;
use crate::audit::PersonEvent;
use crate::ipc::{
    BrowserAccount, BrowserAccountSignIn, BrowserKey, BrowserSession, BrowserSessionAnswer,
    BrowserSessionQuestion, BrowserSessionRequest, SecretText, SignInEnd,
};
use crate::state::{SignIn, SignInsOf, User};

/// How many sign-ins a person reads of.
const TOLD_SIGN_INS: usize = 200;

/// Answers a browser with a token.
pub(super) fn answer(
    context: &Context,
    hosts: &HostList,
    request: &BrowserSessionRequest,
) -> Result<BrowserSessionAnswer, Unavailable> {
    let asker = Asker::browser(request.client);
    let Some(present) = SignedInBrowser::of(context, &request.token)? else {
        return Ok(Refused::no_session().into());
    };
    match &request.ask {
        BrowserSessionQuestion::Who => Ok(BrowserSessionAnswer::Session(present.told())),
        BrowserSessionQuestion::SignOut { everywhere } => {
            let which = match everywhere {
                true => SignInsOf::User(present.user.id),
                false => SignInsOf::Id(present.sign_in.id),
            };
            let ended = end(context, &asker, &present.user, &which)?;
            // Another request was first: the person is signed out all the same.
            let _how_many = ended;
            Ok(BrowserSessionAnswer::Done)
        }
        BrowserSessionQuestion::Hosts { after } => {
            let from = request.client.ip().to_canonical();
            let whose = (&present.user, &present.sign_in);
            let page = hosts.page(context, whose, from, after)?;
            Ok(BrowserSessionAnswer::Hosts(page))
        }
        BrowserSessionQuestion::Account => {
            let account = present.account(context)?;
            Ok(BrowserSessionAnswer::Account(Box::new(account)))
        }
        BrowserSessionQuestion::RemoveKey { fingerprint } => {
            present.remove_key(context, &asker, fingerprint)
        }
        BrowserSessionQuestion::EndSignIn { id } => {
            let which = SignInsOf::OfUser(present.user.id, *id);
            Ok(match end(context, &asker, &present.user, &which)? {
                0 => Refused::no_such_sign_in().into(),
                _ => BrowserSessionAnswer::Done,
            })
        }
    }
}

/// A person who is signed in in a browser.
#[derive(Debug)]
pub(super) struct SignedInBrowser {
    pub(super) user: User,
    pub(super) sign_in: SignIn,
}

impl SignedInBrowser {
    /// The one with this token, if it is in force in the state at this moment.
    pub(super) fn of(context: &Context, token: &SecretText) -> Result<Option<Self>, Unavailable> {
        let Some(token) = BrowserToken::parse(token.expose()) else {
            return Ok(None);
        };
        let sign_ins = context.state.sign_ins();
        let found = sign_ins.of_token(&token.hash(), context.now())?;
        Ok(found.map(|(user, sign_in)| Self { user, sign_in }))
    }

    /// The sign-in, as the browser is told of it.
    pub(super) fn told(&self) -> BrowserSession {
        BrowserSession {
            id: self.sign_in.id,
            name: self.user.name.to_string(),
            roles: self.user.roles.clone(),
            started: self.sign_in.started,
            expires: self.sign_in.until,
        }
    }

    fn account(&self, context: &Context) -> Result<BrowserAccount, Unavailable> {
        let (user, state) = (&self.user, &context.state);
        let keys = state.keys().of_user(user.id)?.into_iter();
        let sign_ins = state.sign_ins().of_user(user.id, context.now())?;
        let too_many = sign_ins.len().saturating_sub(TOLD_SIGN_INS);
        let is_told = |number: usize, one: &SignIn| number >= too_many || one.id == self.sign_in.id;
        Ok(BrowserAccount {
            name: user.name.to_string(),
            roles: user.roles.clone(),
            keys: keys
                .map(|key| BrowserKey {
                    fingerprint: key.fingerprint,
                    comment: key.comment,
                    registered: key.registered,
                    used: key.used,
                })
                .collect(),
            sign_ins: sign_ins
                .into_iter()
                .enumerate()
                .filter(|(number, one)| is_told(*number, one))
                .map(|(_, one)| BrowserAccountSignIn {
                    is_this: one.id == self.sign_in.id,
                    id: one.id,
                    fingerprint: one.fingerprint,
                    client: one.client,
                    started: one.started,
                    expires: one.until,
                })
                .collect(),
            has_codes: user.totp,
            needs_code: context.settings().second_factor != RequiredFactor::Off,
            recovery_codes_left: state.users().recovery_codes_left(user.id)?,
        })
    }

    fn remove_key(
        &self,
        context: &Context,
        asker: &Asker<'_>,
        fingerprint: &str,
    ) -> Result<BrowserSessionAnswer, Unavailable> {
        let keys = context.state.keys();
        let Some(ended) = keys.remove(self.user.id, fingerprint, context.now())? else {
            return Ok(Refused::no_such_key_here().into());
        };
        context.audit(PersonEvent::KeyRemoved {
            user: self.user.name.to_string(),
            sign_in: self.sign_in.id,
            fingerprint: fingerprint.to_owned(),
            client_addr: asker.client,
            connection: asker.connection,
            via: asker.via(),
        })?;
        let ends = (ended.as_slice(), SignInEnd::KeyRemoved);
        audit_ends(context, asker, &self.user, ends)?;
        Ok(BrowserSessionAnswer::Done)
    }
}

/// Ends sign-ins of a person by the person's own act; gives how many.
fn end(
    context: &Context,
    asker: &Asker<'_>,
    user: &User,
    which: &SignInsOf,
) -> Result<usize, Unavailable> {
    let sign_ins = context.state.sign_ins();
    let ended: Vec<Uuid> = sign_ins.end(which, SignInEnd::Logout, context.now())?;
    audit_ends(context, asker, user, (ended.as_slice(), SignInEnd::Logout))?;
    Ok(ended.len())
}
