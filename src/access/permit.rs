//! What an identity may do on one target.

#![deny(clippy::wildcard_enum_match_arm)]

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use super::policy::life;
use super::{Grant, Identity, Policy, PolicyDenial, Question, RequestedHost};
use crate::cert::VerifiedUserCert;
use crate::model::{Login, Target};

/// Where a target leads: resolved once, and never looked up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What the user asked for.
    pub target: Target,
    /// The inventory's name for it, where it is in the inventory.
    pub node: Option<String>,
    /// What the policy goes by.
    pub place: RequestedHost,
    /// Other places that this turns out to be too. The policy must allow all of them.
    pub also: Vec<RequestedHost>,
    /// What is dialled: an address or a DNS name.
    pub host: String,
    /// The port that is dialled.
    pub port: u16,
    /// Names of which the host's certificate must carry one.
    pub names: Vec<String>,
}

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
    /// The inner connection's certificate is for another key.
    #[error("the inner connection uses another key than the outer connection")]
    OtherKey,
    /// The certificate does not name the login.
    #[error("login {login:?} is not among the certificate's principals ({})", principals.join(", "))]
    Login {
        /// What the user asked for.
        login: String,
        /// What the certificate allows.
        principals: Vec<String>,
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
        PolicyDenial::Address { from, .. } => format!("{what} is not allowed from {from}"),
        PolicyDenial::Lifetime { lifetime, most, .. } => format!(
            "{what} takes certificates that live at most {}, yours lives {}",
            life(*most),
            life(*lifetime)
        ),
    }
}

impl Denial {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherIdentity { .. } | Self::OtherKey => {
                "use the same certificate and key for the proxy and for the host"
            }
            Self::Login { .. } => {
                "log in under one of these names, or get a certificate for this one; on the proxy: rproxy auth sign --user"
            }
            Self::Policy { why, .. } => match **why {
                PolicyDenial::NoRole(_) | PolicyDenial::NotAllowed(_) | PolicyDenial::Denied(_) => {
                    "check the name; the people who run this proxy can tell by the id which rule it is"
                }
                PolicyDenial::Address { .. } => "connect from elsewhere",
                PolicyDenial::Lifetime { .. } => {
                    "get a certificate that expires sooner; on the proxy: rproxy auth sign --user --ttl"
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
            Self::Login { .. } => "login-not-in-principals",
            Self::Policy { .. } => "policy",
        }
    }

    /// What the policy says about it, for the audit log.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::OtherIdentity { .. } | Self::OtherKey | Self::Login { .. } => None,
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
/// the certificate's principals with which the policy lets it in. Nothing needs to have been looked
/// up or dialled for that.
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
    let mut barred = PolicyDenial::NoRole(identity.name().to_owned());
    for login in identity.certificate().principals() {
        match judge(policy, identity.certificate(), place, login, from) {
            Ok(_) => return Ok(()),
            Err(why) if why.tells_more_than(&barred) => barred = why,
            Err(_) => {}
        }
    }
    Err(Denial::Policy {
        host: target.host.to_string(),
        login: None,
        why: Box::new(barred),
    })
}

/// The logins with which the policy lets an identity at the address `from` in at a place.
#[must_use]
pub fn logins_at(
    policy: &Policy,
    identity: &Identity,
    place: &RequestedHost,
    from: IpAddr,
) -> Vec<String> {
    let certificate = identity.certificate();
    let logins = certificate.principals().iter();
    logins
        .filter(|login| judge(policy, certificate, place, login, from).is_ok())
        .cloned()
        .collect()
}

fn judge(
    policy: &Policy,
    certificate: &VerifiedUserCert,
    place: &RequestedHost,
    login: &str,
    from: IpAddr,
) -> Result<Grant, PolicyDenial> {
    policy.judge(&Question {
        who: certificate.key_id(),
        place,
        login,
        from: Some(from),
        lifetime: Some(Duration::from_secs(certificate.lifetime())),
    })
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

    /// Decides about one login, given the certificate that authenticates the inner connection: the
    /// same person, the same key, the login among its principals, and the policy has it.
    ///
    /// # Errors
    /// Says which of these is not so.
    pub fn for_login(
        &self,
        policy: &Policy,
        inner: VerifiedUserCert,
        login: Login,
    ) -> Result<LoginPermit, Denial> {
        let outer = self.identity.certificate();
        if inner.key_id() != outer.key_id() {
            return Err(Denial::OtherIdentity {
                outer: outer.key_id().to_owned(),
                inner: inner.key_id().to_owned(),
            });
        }
        if inner.public_key() != outer.public_key() {
            return Err(Denial::OtherKey);
        }
        if !inner.allows_login(&login) {
            return Err(Denial::Login {
                login: login.as_str().to_owned(),
                principals: inner.principals().to_vec(),
            });
        }
        let (route, from) = (self.route.clone(), self.from);
        let also = &route.also;
        let judged = judge(policy, &inner, &route.place, login.as_str(), from);
        let judged = also.iter().try_fold(judged, |grant, place| {
            let more = judge(policy, &inner, place, login.as_str(), from)?;
            Ok::<_, PolicyDenial>(grant.map(|grant| grant.and(more)))
        });
        match judged.and_then(|grant| grant) {
            Ok(grant) => Ok(LoginPermit {
                route,
                identity: Identity::new(inner),
                login,
                from,
                grant,
            }),
            Err(why) => Err(denied(&route, &login, why)),
        }
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
}

impl LoginPermit {
    /// Who, with the very certificate that is presented to the host.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
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
        let certificate = self.identity.certificate();
        judge(policy, certificate, place, self.login.as_str(), self.from)
            .map_err(|why| denied(&self.route, &self.login, why))
    }
}
