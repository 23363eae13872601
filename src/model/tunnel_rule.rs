//! Whether a node may, or has to, be reached through a tunnel that it keeps open.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a [`TunnelRule`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a rule for tunnels: expected no, allowed or required")]
pub struct TunnelRuleError(String);

/// Whether a node may, or has to, be reached through a tunnel that it keeps open.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TunnelRule {
    /// It is dialled at its address, and may open no tunnel.
    #[default]
    No,
    /// Its tunnel is used while it has one, else its address is dialled.
    Allowed,
    /// It is reached through its tunnel only.
    Required,
}

impl TunnelRule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::No, Self::Allowed, Self::Required];

    /// The name, as it is typed, stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Allowed => "allowed",
            Self::Required => "required",
        }
    }
}

impl fmt::Display for TunnelRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TunnelRule {
    type Err = TunnelRuleError;

    fn from_str(text: &str) -> Result<Self, TunnelRuleError> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == text);
        found.ok_or_else(|| TunnelRuleError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_by_its_name() {
        for rule in TunnelRule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(json, format!("\"{rule}\""), "one name everywhere");
        }
        for other in ["", "yes", "No", "maybe"] {
            assert!(other.parse::<TunnelRule>().is_err(), "{other:?}");
        }
    }
}
