//! The only function that decides where a user may go: [`Policy::judge`].
//!
//! `serve` asks it before anything is looked up or dialled and again about live connections when the
//! configuration changes, `explain` asks it for people. Pure: no clock, no I/O.

#![deny(clippy::wildcard_enum_match_arm)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::permits::Permits;
use super::{Permissions, RequestedHost, Role, RoleBinding, RuleRef};
use crate::cert::SourceAddresses;
use crate::model::format_duration;

/// How much earlier than it was made a certificate may begin, for hosts whose clocks are behind:
/// that does not count as its life.
const BACKDATING: Duration = Duration::from_secs(5 * 60);

/// The roles, their members, and the defaults without roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    file: Arc<str>,
    permit: Permissions,
    roles: Vec<Arc<Role>>,
    members: Vec<RoleBinding>,
}

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whose identity: the certificate's key id.
    pub who: &'a str,
    /// Where to.
    pub place: &'a RequestedHost,
    /// Under which account.
    pub login: &'a str,
    /// From where; `None` for an address that every role takes.
    pub from: Option<IpAddr>,
    /// How long the certificate lives in all, from its first second to its last; `None` for a
    /// certificate that every role takes.
    pub lifetime: Option<Duration>,
}

/// The policy allows the login. Made by [`Policy::judge`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Grant {
    rule: Option<RuleRef>,
    permits: Permits,
    demands: Vec<Constraint>,
}

/// What a role demands of the people that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// `may_connect_from`
    From {
        /// Where the client has to be.
        networks: SourceAddresses,
        /// The line that says so.
        rule: RuleRef,
    },
    /// `max_ttl`
    MaxTtl {
        /// The longest that the certificate may live.
        most: Duration,
        /// The line that says so.
        rule: RuleRef,
    },
}

impl Constraint {
    fn check(&self, question: &Question<'_>) -> Result<(), PolicyDenial> {
        match self {
            Self::From { networks, rule } => match question.from {
                Some(from) if !networks.contains(from) => Err(PolicyDenial::Address {
                    from,
                    networks: networks.clone(),
                    rule: rule.clone(),
                }),
                Some(_) | None => Ok(()),
            },
            Self::MaxTtl { most, rule } => match question.lifetime {
                Some(lifetime) if lifetime > most.saturating_add(BACKDATING) => {
                    Err(PolicyDenial::Lifetime {
                        lifetime,
                        most: *most,
                        rule: rule.clone(),
                    })
                }
                Some(_) | None => Ok(()),
            },
        }
    }
}

impl Grant {
    /// The rule that allows it; `None` where there are no roles.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleRef> {
        self.rule.as_ref()
    }

    /// What holds where a connection is about two places and both are allowed: the strictest of each.
    pub fn and(mut self, other: Self) -> Self {
        self.permits = self.permits.and(other.permits);
        for demand in other.demands {
            if !self.demands.contains(&demand) {
                self.demands.push(demand);
            }
        }
        self
    }

    /// What the connection may carry.
    #[must_use]
    pub fn permits(&self) -> &Permits {
        &self.permits
    }

    /// What the roles that apply demand; it is met as far as the question said.
    #[must_use]
    pub fn demands(&self) -> &[Constraint] {
        &self.demands
    }
}

/// Why the policy refuses a login, for administrators: what the user reads is a
/// [`super::Denial`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PolicyDenial {
    /// Nothing in `users` matches the identity.
    #[error("{0:?} has no role")]
    NoRole(String),
    /// There are roles, and none of them has an allow rule for it.
    #[error("no allow rule matches in {}", listed(.0))]
    NotAllowed(Vec<RuleRef>),
    /// A deny rule matches.
    #[error("denied by {0}")]
    Denied(RuleRef),
    /// It is allowed, and not from this address.
    #[error("not from {from}, only from {networks}: {rule}")]
    Address {
        /// Where the client is.
        from: IpAddr,
        /// Where it would have to be.
        networks: SourceAddresses,
        /// The line that says so.
        rule: RuleRef,
    },
    /// It is allowed, and not with a certificate that lives so long.
    #[error("the certificate lives {}, at most {} are allowed: {rule}", life(*.lifetime), life(*.most))]
    Lifetime {
        /// How long the certificate lives.
        lifetime: Duration,
        /// The longest that it may live.
        most: Duration,
        /// The line that says so.
        rule: RuleRef,
    },
}

impl PolicyDenial {
    /// The line that decides, where one does.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleRef> {
        match self {
            Self::NoRole(_) | Self::NotAllowed(_) => None,
            Self::Denied(rule) | Self::Address { rule, .. } | Self::Lifetime { rule, .. } => {
                Some(rule)
            }
        }
    }

    /// Whether this is the better answer to a question about several logins: where a login is
    /// allowed but for something that can be helped, that is what counts.
    pub(super) fn tells_more_than(&self, other: &Self) -> bool {
        let weight = |barred: &Self| match barred {
            Self::NoRole(_) => 0,
            Self::NotAllowed(_) => 1,
            Self::Denied(_) => 2,
            Self::Lifetime { .. } => 3,
            Self::Address { .. } => 4,
        };
        weight(self) > weight(other)
    }
}

/// How long something lives, for people.
pub(super) fn life(span: Duration) -> String {
    if span.as_secs() == u64::MAX {
        "for ever".to_owned()
    } else {
        format_duration(span)
    }
}

fn listed(roles: &[RuleRef]) -> String {
    let roles: Vec<_> = roles.iter().map(ToString::to_string).collect();
    roles.join("; ")
}

impl Policy {
    /// `file` is the configuration's name, for citations; `permit` is what holds where roles are
    /// silent.
    #[must_use]
    pub fn new(
        file: &str,
        permit: Permissions,
        roles: Vec<Arc<Role>>,
        members: Vec<RoleBinding>,
    ) -> Self {
        Self {
            file: file.into(),
            permit,
            roles,
            members,
        }
    }

    /// Whether there are roles. Without any, everything that a certificate allows is allowed.
    #[must_use]
    pub fn has_roles(&self) -> bool {
        !self.roles.is_empty()
    }

    /// The roles that an identity has, each once, in the order of the file.
    #[must_use]
    pub fn roles_of(&self, who: &str) -> Vec<&Role> {
        let theirs: Vec<&Arc<Role>> = self
            .members
            .iter()
            .filter(|member| member.name.matches(who))
            .flat_map(|member| &member.roles)
            .collect();
        let has = |role: &&Arc<Role>| theirs.iter().any(|one| Arc::ptr_eq(one, role));
        self.roles.iter().filter(has).map(|role| &**role).collect()
    }

    /// The strictest `max_ttl` among all roles of an identity: a certificate that lives no longer is
    /// short enough wherever its roles lead.
    #[must_use]
    pub fn max_ttl(&self, who: &str) -> Option<(Duration, RuleRef)> {
        self.roles_of(who)
            .into_iter()
            .filter_map(|role| Some((role.max_ttl?.value, self.cite(role, role.max_ttl?.line))))
            .min_by_key(|(most, _)| *most)
    }

    /// Decides.
    ///
    /// 1. Without any roles: yes.
    /// 2. A deny rule of any of the identity's roles matches: no.
    /// 3. No allow rule of them matches: no.
    /// 4. A role that applies (one of its allow rules matches, or it has none) has a
    ///    `may_connect_from` without the address, or a `max_ttl` below the certificate's life: no.
    /// 5. Otherwise yes, with the permits of the roles that apply.
    ///
    /// The order of roles, rules and users in the file changes what is cited, never what is decided.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, question: &Question<'_>) -> Result<Grant, PolicyDenial> {
        let mut permits = Permits::new(&self.permit);
        let mut demands = Vec::new();
        if !self.has_roles() {
            return Ok(Grant {
                rule: None,
                permits,
                demands,
            });
        }
        let Question {
            who, place, login, ..
        } = *question;
        let roles = self.roles_of(who);
        if roles.is_empty() {
            return Err(PolicyDenial::NoRole(who.to_owned()));
        }
        for role in &roles {
            if let Some(line) = role.denies(login, place) {
                return Err(PolicyDenial::Denied(self.cite(role, line)));
            }
        }
        let mut allowing = roles
            .iter()
            .filter_map(|role| Some(self.cite(role, role.allows(login, place)?)));
        let Some(rule) = allowing.next() else {
            let cited = roles.iter().map(|role| self.cite(role, role.line));
            return Err(PolicyDenial::NotAllowed(cited.collect()));
        };
        for role in roles.iter().filter(|role| role.applies(login, place)) {
            for demand in self.demands(role) {
                demand.check(question)?;
                demands.push(demand);
            }
            for (key, line) in &role.permit.lines {
                permits.state(*key, &role.permit.values, self.cite(role, *line));
            }
        }
        Ok(Grant {
            rule: Some(rule),
            permits,
            demands,
        })
    }

    fn demands(&self, role: &Role) -> impl Iterator<Item = Constraint> {
        let from = role
            .may_connect_from
            .as_ref()
            .map(|stated| Constraint::From {
                networks: stated.value.clone(),
                rule: self.cite(role, stated.line),
            });
        let max_ttl = role.max_ttl.map(|stated| Constraint::MaxTtl {
            most: stated.value,
            rule: self.cite(role, stated.line),
        });
        from.into_iter().chain(max_ttl)
    }

    fn cite(&self, role: &Role, line: usize) -> RuleRef {
        RuleRef::new(role.name.clone(), Arc::clone(&self.file), line)
    }
}
