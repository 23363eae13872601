//! Roles as the configuration has them: what they allow, deny and demand.
//!
//! What roles allow adds up; everything else in them restricts, and the strictest wins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{JoinMode, Pattern, Permissions};
use crate::cert::SourceAddresses;
use crate::model::Label;

/// A value, and the line of the configuration that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What it says.
    pub value: T,
    /// Which line, from 1.
    pub line: usize,
}

/// The host that a person asks for, as the policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedHost {
    /// The inventory's name for the node; for what is not in the inventory the name or the address
    /// that was asked for. In lower case.
    pub name: String,
    /// The node's labels; none outside the inventory.
    pub labels: Vec<Label>,
    /// An administrator has locked the node: it is denied to everyone.
    pub is_locked: bool,
}

/// One rule: it matches where everything that it names does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its line in the configuration, from 1.
    pub line: usize,
    /// Accounts on the hosts; `None` for all.
    pub logins: Option<Vec<Pattern>>,
    /// Names of [`RequestedHost`]s; `None` for all.
    pub nodes: Option<Vec<Pattern>>,
    /// Labels that the node must carry, all of them.
    pub labels: Vec<LabelPattern>,
}

/// A label with a pattern for its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPattern {
    /// The label's key; upper and lower case are the same, as where users ask for a label.
    pub key: String,
    /// Its value, with the case folded.
    pub value: Pattern,
}

impl Rule {
    /// Whether it is about this login at this place.
    #[must_use]
    pub fn matches(&self, login: &str, place: &RequestedHost) -> bool {
        one_matches(self.logins.as_ref(), login) && self.is_about(place)
    }

    /// Whether it is about this place, with some login.
    pub(super) fn is_about(&self, place: &RequestedHost) -> bool {
        let mut labels = self.labels.iter();
        one_matches(self.nodes.as_ref(), &place.name)
            && labels.all(|wanted| wanted.is_among(&place.labels))
    }
}

fn one_matches(patterns: Option<&Vec<Pattern>>, name: &str) -> bool {
    patterns.is_none_or(|several| several.iter().any(|one| one.matches(name)))
}

impl LabelPattern {
    /// Whether one of these labels has the key, and a value that fits.
    #[must_use]
    pub fn is_among(&self, labels: &[Label]) -> bool {
        labels.iter().any(|label| {
            label.key.eq_ignore_ascii_case(&self.key) && self.value.matches(&label.value)
        })
    }
}

/// What a role says about the permits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolePermit {
    /// The values; those of keys without a line say nothing.
    pub values: Permissions,
    /// The keys that the role has, each with its line.
    pub lines: BTreeMap<PermitKey, usize>,
}

/// The keys of the section `permit`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermitKey {
    /// `port_forwarding`
    PortForwarding,
    /// `permit_open`
    PermitOpen,
    /// `permit_listen`
    PermitListen,
    /// `x11`
    X11,
    /// `agent`
    Agent,
    /// `streamlocal`
    Streamlocal,
    /// `nested_ssh`
    NestedSsh,
    /// `accept_env`
    AcceptEnv,
    /// `max_sessions`
    MaxSessions,
}

impl PermitKey {
    /// All keys.
    pub const ALL: [Self; 9] = [
        Self::PortForwarding,
        Self::PermitOpen,
        Self::PermitListen,
        Self::X11,
        Self::Agent,
        Self::Streamlocal,
        Self::NestedSsh,
        Self::AcceptEnv,
        Self::MaxSessions,
    ];
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// What `users` call it.
    pub name: String,
    /// The line in which it begins, from 1.
    pub line: usize,
    /// What it allows. `None` for a role that allows nothing and restricts its users everywhere.
    pub allow: Option<Vec<Rule>>,
    /// What the people with this role may not do, whatever else allows it.
    pub deny: Vec<Rule>,
    /// From where its users may connect, to where the role applies.
    pub may_connect_from: Option<Spanned<SourceAddresses>>,
    /// How long a certificate may live, or a sign-in may last, with which its users connect.
    pub max_ttl: Option<Spanned<Duration>>,
    /// What its users may do in the live sessions of others, where its allow rules match; `None` for
    /// nothing.
    pub join: Option<Spanned<JoinMode>>,
    /// What a connection may carry, where the role applies.
    pub permit: RolePermit,
}

impl Role {
    /// The line of the first allow rule that matches.
    pub(super) fn allows(&self, login: &str, place: &RequestedHost) -> Option<usize> {
        first_match(self.allow.as_deref()?, login, place)
    }

    /// The line of the first deny rule that matches.
    pub(super) fn denies(&self, login: &str, place: &RequestedHost) -> Option<usize> {
        first_match(&self.deny, login, place)
    }

    /// Whether its restrictions hold there: where one of its allow rules matches, and everywhere if it
    /// has none.
    pub(super) fn applies(&self, login: &str, place: &RequestedHost) -> bool {
        self.allow.is_none() || self.allows(login, place).is_some()
    }
}

fn first_match(rules: &[Rule], login: &str, place: &RequestedHost) -> Option<usize> {
    let rule = rules.iter().find(|rule| rule.matches(login, place))?;
    Some(rule.line)
}

/// Who has which roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleBinding {
    /// Whose identity it is: the key id of the certificate.
    pub name: Pattern,
    /// The line in which the entry begins, from 1.
    pub line: usize,
    /// The roles that they have.
    pub roles: Vec<Arc<Role>>,
}
