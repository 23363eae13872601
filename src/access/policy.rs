//! The only function that decides where a user may go: [`Policy::judge`].
//!
//! `serve` asks it before anything is looked up or dialled and again about live connections when the
//! configuration changes, `explain` asks it for people. Pure: no clock, no I/O.

#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::permits::Permits;
use super::{Pattern, Permissions, RequestedHost, Role, RoleBinding, RuleRef};
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
    /// Whose identity: the certificate's key id, or the name of the user who has signed in.
    pub who: &'a str,
    /// Roles that the identity has beside those that the configuration gives it. Names that no role
    /// of the configuration has count for nothing.
    pub roles: &'a [String],
    /// Where to.
    pub place: &'a RequestedHost,
    /// Under which account.
    pub login: &'a str,
    /// From where; `None` for an address that every role takes.
    pub from: Option<IpAddr>,
    /// How long the identity's proof is valid in all; `None` for a proof that every role takes.
    pub life: Option<Life>,
}

/// How long the proof of an identity is valid in all, from its first second to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The validity of a certificate.
    Certificate(Duration),
    /// A sign-in, from its beginning until it expires.
    SignIn(Duration),
}

impl Life {
    /// Whether it is longer than `most`.
    fn exceeds(self, most: Duration) -> bool {
        match self {
            Self::Certificate(lifetime) => lifetime > most.saturating_add(BACKDATING),
            Self::SignIn(lifetime) => lifetime > most,
        }
    }

    /// A life, for people.
    pub(super) fn text(life: Duration) -> String {
        if life.as_secs() == u64::MAX {
            "for ever".to_owned()
        } else {
            format_duration(life)
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(lifetime) => {
                write!(f, "the certificate lives {}", Self::text(*lifetime))
            }
            Self::SignIn(lifetime) => write!(f, "the sign-in lasts {}", Self::text(*lifetime)),
        }
    }
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
        /// The longest that the certificate may live, or the sign-in may last.
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
            Self::MaxTtl { most, rule } => match question.life {
                Some(life) if life.exceeds(*most) => Err(PolicyDenial::Lifetime {
                    life,
                    most: *most,
                    rule: rule.clone(),
                }),
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
    /// It is allowed, and an administrator has locked the node.
    #[error("the node is locked")]
    Locked,
    /// It is allowed, and not with a certificate or a sign-in that lives so long.
    #[error("{life}, at most {} are allowed: {rule}", Life::text(*.most))]
    Lifetime {
        /// How long it lives.
        life: Life,
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
            Self::NoRole(_) | Self::NotAllowed(_) | Self::Locked => None,
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
            Self::Locked => 5,
        };
        weight(self) > weight(other)
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

    /// Whether the configuration has a role of this name.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.name == name)
    }

    /// The roles that an identity has, each once, in the order of the file: those that the
    /// configuration gives it, and those of `named` that are in the configuration.
    #[must_use]
    pub fn roles_of(&self, who: &str, named: &[String]) -> Vec<&Role> {
        let theirs: Vec<&Arc<Role>> = self
            .members
            .iter()
            .filter(|member| member.name.matches(who))
            .flat_map(|member| &member.roles)
            .collect();
        let has = |role: &&Arc<Role>| {
            theirs.iter().any(|one| Arc::ptr_eq(one, role)) || named.contains(&role.name)
        };
        self.roles.iter().filter(has).map(|role| &**role).collect()
    }

    /// Whether the configuration gives an identity roles for its name, and not only those that everyone
    /// has.
    #[must_use]
    pub fn has_roles_for(&self, who: &str) -> bool {
        let mut members = self.members.iter();
        members.any(|member| {
            !member.roles.is_empty() && !member.name.is_for_all() && member.name.matches(who)
        })
    }

    /// The strictest `max_ttl` among all roles of an identity ([`Self::roles_of`]): a certificate or a
    /// sign-in that lives no longer is short enough wherever its roles lead.
    #[must_use]
    pub fn max_ttl(&self, who: &str, named: &[String]) -> Option<(Duration, RuleRef)> {
        self.roles_of(who, named)
            .into_iter()
            .filter_map(|role| Some((role.max_ttl?.value, self.cite(role, role.max_ttl?.line))))
            .min_by_key(|(most, _)| *most)
    }

    /// Decides.
    ///
    /// 1. Without any roles: yes, but for 5.
    /// 2. A deny rule of any of the identity's roles matches: no.
    /// 3. No allow rule of them matches: no.
    /// 4. A role that applies (one of its allow rules matches, or it has none) has a
    ///    `may_connect_from` without the address, or a `max_ttl` below the life of the proof: no.
    /// 5. The node is locked: no. Only an identity that may go there otherwise reads so.
    /// 6. Otherwise yes, with the permits of the roles that apply.
    ///
    /// The order of roles, rules and users in the file changes what is cited, never what is decided.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, question: &Question<'_>) -> Result<Grant, PolicyDenial> {
        let grant = self.judge_rules(question)?;
        match question.place.is_locked {
            true => Err(PolicyDenial::Locked),
            false => Ok(grant),
        }
    }

    /// What the roles say, whether the node is locked or not.
    pub(super) fn judge_rules(&self, question: &Question<'_>) -> Result<Grant, PolicyDenial> {
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
        let roles = self.roles_of(who, question.roles);
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

    /// The patterns for logins in all rules about this identity and this place.
    pub(super) fn login_patterns(&self, question: &Question<'_>) -> Vec<&Pattern> {
        let roles = self.roles_of(question.who, question.roles).into_iter();
        let rules = roles.flat_map(|role| role.allow.iter().flatten().chain(&role.deny));
        rules
            .filter(|rule| rule.is_about(question.place))
            .flat_map(|rule| rule.logins.iter().flatten())
            .collect()
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

    pub(super) fn cite(&self, role: &Role, line: usize) -> RuleRef {
        RuleRef::new(role.name.clone(), Arc::clone(&self.file), line)
    }
}
