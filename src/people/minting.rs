//! Certificates for people who are signed in.

use std::time::Duration;

use ssh_key::PublicKey;
use uuid::Uuid;

use super::context::{Context, Unavailable};
use super::conversation::{Conversation, Present};
use super::keys::{fingerprint, fit};
use super::refusal::Refused;
use crate::access::Policy;
use crate::audit::PersonEvent;
use crate::ca::IssuedFor;
use crate::cert::UserRequest;
use crate::ipc::PeopleAnswer;
use crate::metrics::CertificateUse;
use crate::model::{Login, Principal, chain};
use crate::state::{SignIn, User};

/// How long a certificate for one connection is valid.
pub const CONNECTION_TTL: Duration = Duration::from_secs(5 * 60);

/// What the sshd of a host sees that is reached through its own tunnel.
const LOOPBACK: [&str; 2] = ["127.0.0.1/32", "::1/128"];

/// The person of a conversation, if the sign-in is in force in the state at this moment.
pub(super) fn still_signed_in(
    context: &Context,
    present: &Present,
) -> Result<Option<(User, SignIn)>, Unavailable> {
    let user = context.state.users().of_id(present.person.id)?;
    let live = context
        .state
        .sign_ins()
        .of_user(present.person.id, context.now())?;
    let sign_in = live.into_iter().find(|one| one.id == present.sign_in);
    Ok(user.filter(|user| user.locked.is_none()).zip(sign_in))
}

/// A certificate for the proved key, to log in at a host under one login. The sshd of a host that is
/// reached `through_tunnel` sees the connection come from its own machine: the certificate counts there
/// and nowhere else, also if it is not known from which addresses the proxy connects to other hosts.
pub(super) fn for_connection(
    context: &Context,
    conversation: &mut Conversation,
    login: &Login,
    through_tunnel: bool,
) -> Result<PeopleAnswer, Unavailable> {
    let Some(present) = conversation.present() else {
        return Ok(distrust(
            context,
            conversation,
            "certificate",
            Refused::not_signed_in(),
        ));
    };
    let key = present.key.key.clone();
    let Some((user, sign_in)) = still_signed_in(context, present)? else {
        let refused = Refused::sign_in_ended();
        return Ok(distrust(context, conversation, "certificate", refused));
    };
    let settings = context.settings();
    if !may_log_in_as(&settings.policy, &user, login) {
        let refused = Refused::login_not_allowed(login);
        return Ok(distrust(context, conversation, "certificate", refused));
    }
    let left = Duration::from_secs(sign_in.until.saturating_sub(context.now()));
    let ttl = CONNECTION_TTL.min(left);
    let order = Order {
        logins: vec![login.clone()],
        key,
        ttl,
        issued_for: IssuedFor::Connection,
        sign_in: None,
        source_addresses: match through_tunnel {
            true => LOOPBACK.map(str::to_owned).to_vec(),
            false => settings.source_addresses.clone(),
        },
    };
    let issued = order.issue(context, &user);
    Ok(issued.unwrap_or_else(|refused| distrust(context, conversation, "certificate", refused)))
}

/// A certificate for all of the person's logins, as long as the sign-in: for the proved key, or for another
/// one, given by its encoding.
pub(super) fn for_person(
    context: &Context,
    present: &Present,
    user: &User,
    sign_in: &SignIn,
    other: Option<&[u8]>,
) -> Result<Result<PeopleAnswer, Refused>, Unavailable> {
    let settings = context.settings();
    let Some(logins) = user.logins.clone().filter(|logins| !logins.is_empty()) else {
        return Ok(Err(Refused::no_logins()));
    };
    let allowed = |login: &Login| may_log_in_as(&settings.policy, user, login);
    let logins: Vec<Login> = logins.into_iter().filter(allowed).collect();
    if logins.is_empty() {
        return Ok(Err(Refused::no_logins()));
    }
    let key = match other {
        None => present.key.key.clone(),
        Some(blob) => match other_key(context, user, blob)? {
            Ok(key) => key,
            Err(refused) => return Ok(Err(refused)),
        },
    };
    let order = Order {
        logins,
        key,
        ttl: Duration::from_secs(sign_in.until.saturating_sub(context.now())),
        issued_for: IssuedFor::Signed,
        sign_in: Some(sign_in.id),
        source_addresses: settings.source_addresses.clone(),
    };
    Ok(order.issue(context, user))
}

/// A key that has not proved itself, given by its encoding: it may not be another person's.
fn other_key(
    context: &Context,
    user: &User,
    blob: &[u8],
) -> Result<Result<PublicKey, Refused>, Unavailable> {
    let key = match fit(blob) {
        Ok(key) => key,
        Err(refused) => return Ok(Err(refused)),
    };
    let holder = context.state.keys().of_fingerprint(&fingerprint(&key))?;
    let is_others = holder.is_some_and(|(holder, _)| holder.id != user.id);
    Ok(match is_others {
        true => Err(Refused::key_of_another()),
        false => Ok(key),
    })
}

/// Whether the policy allows a person this login at any host.
fn may_log_in_as(policy: &Policy, user: &User, login: &Login) -> bool {
    let is_named = user.logins.as_ref().map(|logins| logins.contains(login));
    if !policy.has_roles() {
        // Without roles nothing but the person's own list allows a login.
        return is_named == Some(true);
    }
    let mut rules = policy
        .roles_of(user.name.as_str(), &user.roles)
        .into_iter()
        .flat_map(|role| role.allow.iter().flatten());
    is_named != Some(false)
        && rules.any(|rule| match &rule.logins {
            Some(patterns) => patterns.iter().any(|one| one.matches(login.as_str())),
            None => true,
        })
}

/// A certificate that the rules allow.
struct Order {
    logins: Vec<Login>,
    key: PublicKey,
    ttl: Duration,
    issued_for: IssuedFor,
    /// The sign-in with which it ends.
    sign_in: Option<Uuid>,
    /// The networks that it may be used from; none for all.
    source_addresses: Vec<String>,
}

impl Order {
    fn issue(self, context: &Context, user: &User) -> Result<PeopleAnswer, Refused> {
        let purpose = match self.issued_for {
            IssuedFor::Connection => CertificateUse::Connection,
            IssuedFor::Signed => CertificateUse::User,
        };
        let name = |text: &str| text.parse::<Principal>();
        let logins = self.logins.iter().map(|login| name(login.as_str()));
        let logins: Result<Vec<_>, _> = logins.collect();
        let (identity, logins) = match (name(user.name.as_str()), logins) {
            (Ok(identity), Ok(logins)) => (identity, logins),
            (Err(error), _) | (_, Err(error)) => return Err(Refused::certificate(error)),
        };
        let request = UserRequest {
            identity,
            logins,
            public_key: self.key,
            ttl: self.ttl,
            source_addresses: self.source_addresses,
            sign_in: self.sign_in,
        };
        match context.issuer.issue(request, self.issued_for) {
            Ok(certificate) => {
                context.meters.certificates.add(purpose, 1);
                match certificate.to_openssh() {
                    Ok(line) => Ok(PeopleAnswer::Certificate(line)),
                    Err(error) => Err(Refused::certificate(error)),
                }
            }
            Err(error) => {
                let person = &user.name;
                tracing::error!(error = %chain(&error), "no certificate for {person}");
                Err(Refused::certificate(error))
            }
        }
    }
}

/// A process has asked for what its connection may not have.
pub(super) fn distrust(
    context: &Context,
    conversation: &Conversation,
    what: &'static str,
    refused: Refused,
) -> PeopleAnswer {
    context.audit_refusal(PersonEvent::PeopleRefused {
        what,
        reason: refused.reason,
        client_addr: conversation.client,
        connection: Some(conversation.connection),
    });
    refused.into()
}

/// Answers arrived that belong to no question.
pub(super) fn out_of_turn(context: &Context, conversation: &Conversation) -> PeopleAnswer {
    distrust(context, conversation, "answer", Refused::out_of_turn())
}
