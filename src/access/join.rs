//! Who may join the live sessions of other people: [`Policy::judge_join`].
//!
//! A role that has `join` lets its users join where and under which logins it allows them to log in
//! themselves. Everything that keeps a person from logging in there keeps them from joining, too.

#![deny(clippy::wildcard_enum_match_arm)]

use std::net::IpAddr;

use thiserror::Error;

use super::join_mode::JoinMode;
use super::permit::{has_logins, question};
use super::{Identity, Policy, PolicyDenial, Question, RequestedHost, RuleRef};
use crate::model::Login;

/// The policy allows to join a session. Made by [`Policy::judge_join`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct JoinGrant {
    mode: JoinMode,
    rule: RuleRef,
}

impl JoinGrant {
    /// What it allows.
    #[must_use]
    pub fn mode(&self) -> JoinMode {
        self.mode
    }

    /// The line that allows it.
    #[must_use]
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// What holds where a session is at two places and both are allowed: the stricter one.
    pub fn and(self, other: Self) -> Self {
        match other.mode < self.mode {
            true => other,
            false => self,
        }
    }
}

/// Why a person may not join a session, for administrators.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JoinDenial {
    /// They may not log in there.
    #[error(transparent)]
    Login(#[from] PolicyDenial),
    /// The proof of their identity does not name the login.
    #[error("login {0:?} is not among their logins")]
    OtherLogin(String),
    /// They may log in there, and no role that allows it has `join`.
    #[error("no role that allows it has join")]
    NoJoin,
}

impl Policy {
    /// Decides whether a person may join the live sessions at this place under this login.
    ///
    /// 1. Whoever may not log in there ([`Policy::judge`]) may not join: deny rules, locks, addresses
    ///    and the life of the proof count.
    /// 2. No role has both `join` and an allow rule that matches: no.
    /// 3. Otherwise yes, and what those roles allow adds up: `type` is more than `observe`.
    ///
    /// Without any roles: no.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_join(&self, question: &Question<'_>) -> Result<JoinGrant, JoinDenial> {
        // Not needed for what follows but for its "no".
        let _permitted = self.judge(question)?;
        let roles = self.roles_of(question.who, question.roles).into_iter();
        let stated = roles
            .filter(|role| role.allows(question.login, question.place).is_some())
            .filter_map(|role| {
                let join = role.join?;
                Some(JoinGrant {
                    mode: join.value,
                    rule: self.cite(role, join.line),
                })
            });
        stated
            .reduce(|best, next| match next.mode > best.mode {
                true => next,
                false => best,
            })
            .ok_or(JoinDenial::NoJoin)
    }
}

/// Decides whether an identity at the address `from` may join sessions at a place under a login that
/// the proof of its identity names, as [`Policy::judge_join`].
///
/// # Errors
/// Why not.
pub fn may_join(
    policy: &Policy,
    identity: &Identity,
    place: &RequestedHost,
    login: &Login,
    from: IpAddr,
) -> Result<JoinGrant, JoinDenial> {
    if !identity.allows_login(login) {
        return Err(JoinDenial::OtherLogin(login.to_string()));
    }
    let who = identity.subject();
    has_logins(policy, &who)?;
    policy.judge_join(&question(&who, place, login.as_str(), from))
}
