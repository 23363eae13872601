//! How long certificates of users may be valid.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::access::{Policy, RuleRef};
use crate::model::format_in_one_unit;

/// What the configuration says about it: `max_ttl` of roles, and `auth_service.max_ttl` where they say
/// nothing.
#[derive(Clone, Debug)]
pub struct TtlLimits {
    policy: Policy,
    otherwise: Duration,
}

impl TtlLimits {
    /// The limits of this policy, and the one for people whose roles have none.
    #[must_use]
    pub fn new(policy: Policy, otherwise: Duration) -> Self {
        Self { policy, otherwise }
    }

    /// The longest life of a certificate for this person.
    #[must_use]
    pub fn of(&self, identity: &str) -> Duration {
        self.find(identity).0
    }

    /// The same, with the rule of a role that says so.
    fn find(&self, identity: &str) -> (Duration, Option<RuleRef>) {
        match self.policy.max_ttl(identity.trim(), &[]) {
            Some((most, rule)) => (most, Some(rule)),
            None => (self.otherwise, None),
        }
    }

    /// Refuses a life that is too long for this person.
    ///
    /// # Errors
    /// Says how long it may be, and by which rule.
    pub fn check(&self, identity: &str, ttl: Duration) -> Result<(), TtlTooLong> {
        let (most, rule) = self.find(identity);
        if ttl <= most {
            return Ok(());
        }
        Err(TtlTooLong {
            identity: identity.to_owned(),
            ttl,
            most,
            rule,
        })
    }
}

/// A certificate of a person would live too long.
#[derive(Clone, Debug)]
pub struct TtlTooLong {
    identity: String,
    ttl: Duration,
    most: Duration,
    /// The role that says so; without one it is `auth_service.max_ttl`.
    rule: Option<RuleRef>,
}

impl TtlTooLong {
    /// Why it is refused. `given` is the life that was asked for, as it was written.
    #[must_use]
    pub fn reason(&self, given: &str) -> String {
        let most = format_in_one_unit(self.most);
        match &self.rule {
            Some(rule) => {
                let identity = &self.identity;
                format!("certificates of {identity} may live {most} at most, not {given}: {rule}")
            }
            None => format!("certificates of people may live {most} at most, not {given}"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let most = format_in_one_unit(self.most);
        match self.rule {
            Some(_) => format!("give --ttl={most} or less"),
            None => format!(
                "give --ttl={most} or less; auth_service.max_ttl in the configuration may \
                 allow everybody more, and max_ttl of a role its users"
            ),
        }
    }
}

impl fmt::Display for TtlTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason(&format_in_one_unit(self.ttl)))
    }
}

impl Error for TtlTooLong {}
