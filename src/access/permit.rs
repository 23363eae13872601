//! What an identity may do on one target.

#![deny(clippy::wildcard_enum_match_arm)]

use std::net::IpAddr;
use std::sync::Arc;

use ssh_key::public::KeyData;
use thiserror::Error;

use super::{
    Grant, Identity, IdentityProof, Life, Policy, PolicyDenial, PolicySubject, Question,
    RequestedHost, Route, SignIn,
};
use crate::cert::VerifiedUserCert;
use crate::model::{Login, Target};

/// Why an identity is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// The inner connection's certificate names another person.
    #[error("the inner connection is {inner:?}, the outer connection {outer:?}")]
    OtherIdentity {
        /// Who authenticated the outer connection.
        outer: String,
        /// Who tries to authenticate the inner one.
        inner: String,
    },
    /// The inner connection's key is another one.
    #[error("the inner connection uses another key than the outer connection")]
    OtherKey,
    /// One connection uses a certificate and the other one the key of a sign-in.
    #[error("the inner connection uses {inner}, the outer connection {outer}")]
    OtherProof {
        /// What has authenticated the outer connection.
        outer: &'static str,
        /// What the inner one uses.
        inner: &'static str,
    },
    /// The certificate does not name the login.
    #[error("login {login:?} is not among the certificate's principals ({})", principals.join(", "))]
    Login {
        /// What the user asked for.
        login: String,
        /// What the certificate allows.
        principals: Vec<String>,
    },
    /// The login is not one of those that the person who has signed in may use.
    #[error("login {login:?} is not among your logins ({})", logins.join(", "))]
    LoginOfUser {
        /// What the user asked for.
        login: String,
        /// What the person may use.
        logins: Vec<String>,
    },
    /// The policy denies it. The text reveals neither the rule nor whether there is such a host.
    #[error("{}", barred_text(host, login.as_deref(), why))]
    Policy {
        /// Where to, in the user's words.
        host: String,
        /// The account; `None` where there is none for them.
        login: Option<String>,
        /// Why, for administrators.
        why: Box<PolicyDenial>,
    },
}

fn barred_text(host: &str, login: Option<&str>, why: &PolicyDenial) -> String {
    let what = match login {
        Some(login) => format!("access to {host} as {login}"),
        None => format!("access to {host}"),
    };
    match why {
        PolicyDenial::NoRole(_) | PolicyDenial::NotAllowed(_) | PolicyDenial::Denied(_) => {
            format!("{what} is denied")
        }
        PolicyDenial::Locked => format!("{host} is locked"),
        PolicyDenial::Address { from, .. } => format!("{what} is not allowed from {from}"),
        PolicyDenial::Lifetime { life, most, .. } => {
            let most = Life::text(*most);
            match life {
                Life::Certificate(lifetime) => format!(
                    "{what} takes certificates that live at most {most}, yours lives {}",
                    Life::text(*lifetime)
                ),
                Life::SignIn(lifetime) => format!(
                    "{what} takes sign-ins that last at most {most}, yours lasts {}",
                    Life::text(*lifetime)
                ),
            }
        }
    }
}

impl Denial {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherIdentity { .. } | Self::OtherKey | Self::OtherProof { .. } => {
                "use the same certificate and key for the proxy and for the host"
            }
            Self::Login { .. } => {
                "log in under one of these names, or get a certificate for this one; on the proxy: rproxy auth sign --user"
            }
            Self::LoginOfUser { .. } => {
                "log in under one of these names, or ask the people who run this proxy for this one"
            }
            Self::Policy { why, .. } => match **why {
                PolicyDenial::NoRole(_) | PolicyDenial::NotAllowed(_) | PolicyDenial::Denied(_) => {
                    "check the name; the people who run this proxy can tell by the id which rule it is"
                }
                PolicyDenial::Locked => {
                    "the people who run this proxy have locked it; they can unlock it, on the proxy: rproxy nodes unlock NAME"
                }
                PolicyDenial::Address { .. } => "connect from elsewhere",
                PolicyDenial::Lifetime {
                    life: Life::Certificate(_),
                    ..
                } => {
                    "get a certificate that expires sooner; on the proxy: rproxy auth sign --user --ttl"
                }
                PolicyDenial::Lifetime {
                    life: Life::SignIn(_),
                    ..
                } => {
                    "sign in again for a shorter time: ssh NAME@PROXY logout, then login; on the proxy: sign_in_ttl"
                }
            },
        }
    }

    /// A stable name for the audit log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherIdentity { .. } => "different-identity",
            Self::OtherKey => "different-key",
            Self::OtherProof { .. } => "different-proof",
            Self::Login { .. } => "login-not-in-principals",
            Self::LoginOfUser { .. } => "login-not-of-user",
            Self::Policy { .. } if self.is_of_lock() => "node-locked",
            Self::Policy { .. } => "policy",
        }
    }

    /// Whether it is because an administrator has locked the node.
    #[must_use]
    pub fn is_of_lock(&self) -> bool {
        matches!(self, Self::Policy { why, .. } if **why == PolicyDenial::Locked)
    }

    /// What the policy says about it, for the audit log.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::OtherIdentity { .. }
            | Self::OtherKey
            | Self::OtherProof { .. }
            | Self::Login { .. }
            | Self::LoginOfUser { .. } => None,
            Self::Policy { why, .. } => Some(why.to_string()),
        }
    }
}

/// An identity may reach this route, under one login at least.
#[derive(Clone, Debug)]
#[must_use]
pub struct Permit {
    identity: Identity,
    route: Route,
    from: IpAddr,
}

/// Decides whether an identity at the address `from` may reach a route: whether there is a login among
/// those of its proof with which the policy lets it in. Nothing needs to have been looked up or dialled
/// for that.
///
/// # Errors
/// What the policy says.
pub fn authorize(
    policy: &Policy,
    identity: &Identity,
    route: Route,
    from: IpAddr,
) -> Result<Permit, Denial> {
    may_enter(policy, identity, &route.target, &route.place, from)?;
    Ok(Permit {
        identity: identity.clone(),
        route,
        from,
    })
}

/// Decides whether an identity at the address `from` may go to a place, under any login. A user without
/// permission must not learn whether the place exists. `target` is the target's name as the user gave it.
///
/// # Errors
/// The most telling of the policy's reasons.
pub fn may_enter(
    policy: &Policy,
    identity: &Identity,
    target: &Target,
    place: &RequestedHost,
    from: IpAddr,
) -> Result<(), Denial> {
    let who = identity.subject();
    let judged = match &who.logins {
        Some(logins) => one_of(policy, &who, place, logins, from),
        None => has_logins(policy, &who)
            .and_then(|()| policy.judge_any_login(&question(&who, place, "", from))),
    };
    judged.map_err(|why| Denial::Policy {
        host: target.host.to_string(),
        login: None,
        why: Box::new(why),
    })
}

/// Whether the policy allows one of these logins.
fn one_of(
    policy: &Policy,
    who: &PolicySubject<'_>,
    place: &RequestedHost,
    logins: &[&str],
    from: IpAddr,
) -> Result<(), PolicyDenial> {
    let mut barred = PolicyDenial::NoRole(who.name.to_owned());
    for login in logins {
        match judge(policy, who, place, login, from) {
            Ok(_) => return Ok(()),
            Err(why) if why.tells_more_than(&barred) => barred = why,
            Err(_) => {}
        }
    }
    Err(barred)
}

/// The logins with which the policy lets a person at the address `from` in at a place. Where the
/// proof names no logins, they are the patterns of the policy.
#[must_use]
pub fn logins_at(
    policy: &Policy,
    who: &PolicySubject<'_>,
    place: &RequestedHost,
    from: IpAddr,
) -> Vec<String> {
    let Some(logins) = &who.logins else {
        return match has_logins(policy, who) {
            Ok(()) => policy.logins_allowed(&question(who, place, "", from)),
            Err(_) => Vec::new(),
        };
    };
    logins
        .iter()
        .filter(|login| judge(policy, who, place, login, from).is_ok())
        .map(ToString::to_string)
        .collect()
}

fn judge(
    policy: &Policy,
    who: &PolicySubject<'_>,
    place: &RequestedHost,
    login: &str,
    from: IpAddr,
) -> Result<Grant, PolicyDenial> {
    has_logins(policy, who)?;
    policy.judge(&question(who, place, login, from))
}

/// A proof that names no logins has those that roles allow: without any roles, none.
pub(super) fn has_logins(policy: &Policy, who: &PolicySubject<'_>) -> Result<(), PolicyDenial> {
    match who.logins {
        None if !policy.has_roles() => Err(PolicyDenial::NoRole(who.name.to_owned())),
        None | Some(_) => Ok(()),
    }
}

pub(super) fn question<'a>(
    who: &'a PolicySubject<'_>,
    place: &'a RequestedHost,
    login: &'a str,
    from: IpAddr,
) -> Question<'a> {
    Question {
        who: who.name,
        roles: who.roles,
        place,
        login,
        from: Some(from),
        life: Some(who.life),
    }
}

/// What authenticates an inner connection.
#[derive(Clone, Debug)]
pub enum InnerProof {
    /// A certificate that passed every check.
    Certificate(Box<VerifiedUserCert>),
    /// A key alone, which the client has proved to hold.
    Key(KeyData),
}

impl Permit {
    /// Who.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where to.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Decides about another place that turns out to be in the way.
    ///
    /// # Errors
    /// As [`authorize`].
    pub fn may_enter_too(&self, policy: &Policy, place: &RequestedHost) -> Result<(), Denial> {
        may_enter(policy, &self.identity, &self.route.target, place, self.from)
    }

    /// Decides about one login, given what authenticates the inner connection: the same person with the
    /// same key as the outer connection, by the same kind of proof; the login is one that the proof
    /// allows, and the policy has it.
    ///
    /// # Errors
    /// Says which of these is not so.
    pub fn for_login(
        &self,
        policy: &Policy,
        inner: InnerProof,
        login: Login,
    ) -> Result<LoginPermit, Denial> {
        let identity = self.proved_again(inner)?;
        if !identity.allows_login(&login) {
            return Err(login_not_named(&identity, &login));
        }
        let (route, from) = (self.route.clone(), self.from);
        let also = &route.also;
        let who = identity.subject();
        let judge = |place| judge(policy, &who, place, login.as_str(), from);
        let judged = also.iter().try_fold(judge(&route.place), |grant, place| {
            let more = judge(place)?;
            Ok::<_, PolicyDenial>(grant.map(|grant| grant.and(more)))
        });
        match judged.and_then(|grant| grant) {
            Ok(grant) => Ok(LoginPermit {
                route,
                identity,
                login,
                from,
                grant,
                minted: None,
            }),
            Err(why) => Err(denied(&route, &login, why)),
        }
    }

    /// The identity of the inner connection. A certificate counts with what it says itself: it need
    /// not be the one of the outer connection.
    fn proved_again(&self, inner: InnerProof) -> Result<Identity, Denial> {
        const CERTIFICATE: &str = "a certificate";
        const KEY: &str = "a key without a certificate";
        const OTHER_SIGN_IN: &str = "a certificate of another sign-in";
        match (self.identity.proof(), inner) {
            (
                IdentityProof::Certificate(outer) | IdentityProof::CertifiedSignIn(outer, _),
                InnerProof::Certificate(inner),
            ) => {
                if inner.key_id() != outer.key_id() {
                    return Err(Denial::OtherIdentity {
                        outer: outer.key_id().to_owned(),
                        inner: inner.key_id().to_owned(),
                    });
                }
                if inner.public_key() != outer.public_key() {
                    return Err(Denial::OtherKey);
                }
                let sign_in = self.identity.sign_in();
                // It ends with its own sign-in, which only the outer connection has had confirmed.
                if inner
                    .sign_in()
                    .is_some_and(|id| Some(id) != sign_in.map(SignIn::id))
                {
                    return Err(Denial::OtherProof {
                        outer: CERTIFICATE,
                        inner: OTHER_SIGN_IN,
                    });
                }
                Ok(match sign_in {
                    Some(sign_in) => Identity::new((*inner, sign_in.clone())),
                    None => Identity::new(*inner),
                })
            }
            (IdentityProof::SignIn(outer), InnerProof::Key(inner))
            | (IdentityProof::CertifiedSignIn(_, outer), InnerProof::Key(inner)) => {
                if inner != *outer.key() {
                    return Err(Denial::OtherKey);
                }
                // The host gets a certificate for one login.
                Ok(Identity::new(SignIn::clone(outer)))
            }
            (IdentityProof::Certificate(_), InnerProof::Key(_)) => Err(Denial::OtherProof {
                outer: CERTIFICATE,
                inner: KEY,
            }),
            (IdentityProof::SignIn(_), InnerProof::Certificate(_)) => Err(Denial::OtherProof {
                outer: KEY,
                inner: CERTIFICATE,
            }),
        }
    }
}

fn login_not_named(identity: &Identity, login: &Login) -> Denial {
    let named = identity.logins().unwrap_or_default();
    let named = named.into_iter().map(str::to_owned).collect();
    let login = login.to_string();
    match identity.proof() {
        IdentityProof::Certificate(_) | IdentityProof::CertifiedSignIn(..) => Denial::Login {
            login,
            principals: named,
        },
        IdentityProof::SignIn(_) => Denial::LoginOfUser {
            login,
            logins: named,
        },
    }
}

fn denied(route: &Route, login: &Login, why: PolicyDenial) -> Denial {
    Denial::Policy {
        host: route.target.host.to_string(),
        login: Some(login.to_string()),
        why: Box::new(why),
    }
}

/// An identity may log in under this name on this route.
#[derive(Clone, Debug)]
#[must_use]
pub struct LoginPermit {
    identity: Identity,
    route: Route,
    login: Login,
    from: IpAddr,
    grant: Grant,
    /// A certificate that was made for this login.
    minted: Option<Arc<VerifiedUserCert>>,
}

/// Why a certificate was not made for a login.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OtherCredential {
    /// It names another person.
    #[error("it is for {0:?}")]
    Person(String),
    /// It is for another key.
    #[error("it is for another key")]
    Key,
    /// Its principals are not the one login.
    #[error("its principals are {}", .0.join(", "))]
    Logins(Vec<String>),
}

impl LoginPermit {
    /// Who; with a certificate, the very one that is presented to the host.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate that is presented to the host: the one that was made for this login, or the one
    /// that proves the identity. `None` for a sign-in for which none was made yet.
    #[must_use]
    pub fn credential(&self) -> Option<&VerifiedUserCert> {
        match &self.minted {
            Some(minted) => Some(minted),
            None => self.identity.certificate(),
        }
    }

    /// The same permit, of a user whom the state has given other roles or logins meanwhile, as
    /// [`Identity::with_sign_in`]: to be judged again.
    pub fn with_sign_in(mut self, sign_in: SignIn) -> Self {
        self.identity = self.identity.with_sign_in(sign_in);
        self
    }

    /// The same permit, with a certificate that was made for this login: for the same person and key,
    /// with the login as its one principal.
    ///
    /// # Errors
    /// Says which of these is not so.
    pub fn with_credential(mut self, minted: VerifiedUserCert) -> Result<Self, OtherCredential> {
        if minted.key_id() != self.identity.name() {
            return Err(OtherCredential::Person(minted.key_id().to_owned()));
        }
        if minted.public_key() != self.identity.key() {
            return Err(OtherCredential::Key);
        }
        if minted.principals() != [self.login.as_str()] {
            return Err(OtherCredential::Logins(minted.principals().to_vec()));
        }
        self.minted = Some(Arc::new(minted));
        Ok(self)
    }

    /// Where to.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Under which name.
    #[must_use]
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// What the policy has said: why, and what the connection may carry.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The same permit where the host turns out to be other places too: what all of them allow.
    ///
    /// # Errors
    /// What the policy says about the first that it does not allow.
    pub fn also_at(mut self, policy: &Policy, places: Vec<RequestedHost>) -> Result<Self, Denial> {
        for place in places {
            if place == self.route.place || self.route.also.contains(&place) {
                continue;
            }
            let grant = self.judge_again(policy, &place)?;
            self.grant = self.grant.and(grant);
            self.route.also.push(place);
        }
        Ok(self)
    }

    /// Decides again, under a policy or an inventory that have changed meanwhile. `place` is where the
    /// route leads as they see it now.
    ///
    /// # Errors
    /// What the policy says now.
    pub fn judge_again(&self, policy: &Policy, place: &RequestedHost) -> Result<Grant, Denial> {
        if !self.identity.allows_login(&self.login) {
            return Err(login_not_named(&self.identity, &self.login));
        }
        judge(
            policy,
            &self.identity.subject(),
            place,
            self.login.as_str(),
            self.from,
        )
        .map_err(|why| denied(&self.route, &self.login, why))
    }
}
