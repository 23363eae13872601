//! What the configuration says about people.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Policy;
use crate::model::ClusterName;
use crate::nodes::Node;

/// What people need besides their key and their password. The order is that of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredFactor {
    /// Nothing.
    Off,
    /// A one-time code, or a security key that was touched.
    Any,
    /// A one-time code.
    Otp,
    /// A security key that was touched.
    Webauthn,
}

impl RequiredFactor {
    /// Whether one-time codes count.
    #[must_use]
    pub fn has_codes(self) -> bool {
        matches!(self, Self::Any | Self::Otp)
    }

    /// Whether a touched security key counts.
    #[must_use]
    pub fn has_security_keys(self) -> bool {
        matches!(self, Self::Any | Self::Webauthn)
    }
}

/// What the configuration says about people.
#[derive(Clone, Debug)]
pub struct PeopleSettings {
    /// The cluster's name, which every question begins with.
    pub cluster: ClusterName,
    /// Whether people sign in with a password that the state has.
    pub has_local: bool,
    /// What people need besides their key and their password.
    pub second_factor: RequiredFactor,
    /// How long a sign-in lasts.
    pub sign_in_ttl: Duration,
    /// The networks that hosts see the proxy's connections from; none if they are not known.
    pub source_addresses: Vec<String>,
    /// The hosts that the configuration lists.
    pub nodes: Vec<Node>,
    /// Who may log in where.
    pub policy: Arc<Policy>,
}
