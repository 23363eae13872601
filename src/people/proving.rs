//! Keys: whether a signature is of use, and what one proves.

use ssh_key::public::KeyData;
use ssh_key::{Certificate, PublicKey};

use super::completion::{complete, refuse, signed_in};
use super::context::{Context, Unavailable};
use super::conversation::{Conversation, Named, ProvedKey, Stage};
use super::credentials::audit_failure;
use super::keys::{fingerprint, fit, fit_presented, registered_by};
use super::minting::distrust;
use super::refusal::Refused;
use crate::cert::PresentedKey;
use crate::cert::proof::VerifiedRequest;
use crate::ipc::{PeopleAnswer, SeenSessions, SessionDigest, SessionOwner, SignedProof};
use crate::metrics::SignInMethod;
use crate::model::UserName;
use crate::state::{SignIn, User};

/// Whether a signature by a key would be of use. `conversation` is `None` for a client that has asked
/// for nothing yet.
pub(super) fn query(
    context: &Context,
    conversation: Option<&Conversation>,
    user: &str,
    blob: &[u8],
) -> Result<PeopleAnswer, Unavailable> {
    let Ok(key) = fit(blob) else {
        return Ok(PeopleAnswer::Useless);
    };
    let fingerprint = fingerprint(&key);
    let registered = context.state.keys().of_fingerprint(&fingerprint)?;
    let is_usable = match conversation.map(|conversation| &conversation.stage) {
        Some(Stage::Answered(answered)) if answered.needs_touch && !is_security_key(&key) => {
            return Ok(Refused::security_key_needed().into());
        }
        Some(Stage::Answered(answered)) => {
            registered.is_none_or(|(holder, _)| holder.id == answered.person.id)
        }
        // The invitation comes first.
        _ if UserName::is_sign_up(user) => false,
        _ => registered.is_some_and(|(holder, _)| holder.locked.is_none()),
    };
    Ok(match is_usable {
        true => PeopleAnswer::Usable,
        false => PeopleAnswer::Useless,
    })
}

fn is_security_key(key: &PublicKey) -> bool {
    matches!(
        key.key_data(),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    )
}

/// A client has signed.
pub(super) fn prove(
    context: &Context,
    seen: &SeenSessions,
    conversation: &mut Conversation,
    proof: &SignedProof,
) -> Result<PeopleAnswer, Unavailable> {
    let Ok(verified) = proof.clone().request(&conversation.user).verify() else {
        return Ok(distrust(
            context,
            conversation,
            "prove",
            Refused::bad_signature(),
        ));
    };
    let session = SessionDigest::of(&verified.request().session);
    let owner = SessionOwner {
        caller: conversation.caller,
        connection: conversation.connection,
    };
    let is_another = conversation
        .session
        .as_ref()
        .is_some_and(|first| *first != session);
    if is_another || !seen.is_of(&session, owner) {
        return Ok(distrust(
            context,
            conversation,
            "prove",
            Refused::replayed(),
        ));
    }
    conversation.session = Some(session);
    if let PresentedKey::Certificate(certificate) = verified.key() {
        let is_touched = verified.presence().is_some_and(|it| it.is_touched);
        return certified(context, conversation, certificate, is_touched);
    }
    let (key, user) = match proved(context, &verified)? {
        Ok(proved) => proved,
        Err(refused) => return Ok(refuse(context, conversation, None, refused)),
    };
    let stage = std::mem::replace(&mut conversation.stage, Stage::Idle);
    conversation.proved = Some(key.clone());
    if let Stage::Answered(answered) = stage {
        let answer = complete(context, conversation, &answered, key)?;
        if matches!(&answer, PeopleAnswer::Refused(refusal) if !refusal.is_final) {
            // Another key may do.
            conversation.stage = Stage::Answered(answered);
        }
        return Ok(answer);
    }
    let Some(user) = user else {
        // Some clients sign once only: the key is remembered until the answers are right.
        return Ok(PeopleAnswer::AskFirst);
    };
    if UserName::is_sign_up(&conversation.user) {
        return Ok(PeopleAnswer::AskFirst);
    }
    let live = context
        .state
        .sign_ins()
        .live(user.id, &key.fingerprint, context.now())?;
    Ok(match live {
        Some(sign_in) => {
            context.meters.sign_ins.add(SignInMethod::Key, 1);
            signed_in(conversation, &user, &sign_in, key, false)
        }
        None => PeopleAnswer::AskFirst,
    })
}

/// A client has signed with a certificate that was made for a sign-in: it is worth what the sign-in is worth.
fn certified(
    context: &Context,
    conversation: &mut Conversation,
    certificate: &Certificate,
    is_touched: bool,
) -> Result<PeopleAnswer, Unavailable> {
    let verified = context.issuer.verify(certificate);
    let Some((name, id)) = verified
        .as_ref()
        .and_then(|verified| Some((verified.key_id(), verified.sign_in()?)))
    else {
        let refused = Refused::unfit_key("it is a certificate");
        return Ok(refuse(context, conversation, None, refused));
    };
    let user = context.state.users().get(name)?;
    let live = match &user {
        Some(user) if user.locked.is_none() => {
            let sign_ins = context.state.sign_ins();
            sign_ins.of_user(user.id, context.now())?
        }
        _ => Vec::new(),
    };
    // A sign-in in a browser has no certificates.
    let is_it = |one: &SignIn| one.id == id && one.fingerprint.is_some();
    let sign_in = live.into_iter().find(is_it);
    let (Some(user), Some(sign_in)) = (&user, sign_in) else {
        // Answers that were right stay so: another key may do.
        let refused = Refused::certificate_over();
        audit_failure(context, &conversation.asker(), user.as_ref(), &refused);
        return Ok(refused.into());
    };
    let key = PublicKey::from(certificate.public_key().clone());
    let key = ProvedKey {
        fingerprint: fingerprint(&key),
        key,
        is_touched,
        person: None,
    };
    context.meters.sign_ins.add(SignInMethod::Key, 1);
    Ok(signed_in(conversation, user, &sign_in, key, false))
}

/// The key of a verified request, if it is fit, and the user who has registered it.
fn proved(
    context: &Context,
    verified: &VerifiedRequest,
) -> Result<Result<(ProvedKey, Option<User>), Refused>, Unavailable> {
    let key = match fit_presented(verified.key()) {
        Ok(key) => key,
        Err(refused) => return Ok(Err(refused)),
    };
    let fingerprint = fingerprint(&key);
    let user = registered_by(context, &fingerprint)?;
    let person = user.as_ref().map(|user| Named {
        id: user.id,
        name: user.name.clone(),
    });
    let key = ProvedKey {
        key,
        fingerprint,
        is_touched: verified.presence().is_some_and(|it| it.is_touched),
        person,
    };
    Ok(Ok((key, user)))
}
