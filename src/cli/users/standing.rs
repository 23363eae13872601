//! In which state of affairs a person is.

use serde::Serialize;

use crate::cli::table::Tint;
use crate::state::User;

/// Whether a person can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UserStanding {
    /// The person has a password, or signs in at the identity provider.
    Active,
    /// The person has not signed up yet.
    Invited,
    /// An administrator has locked the person.
    Locked,
}

impl UserStanding {
    pub(super) fn of(user: &User) -> Self {
        if user.locked.is_some() {
            Self::Locked
        } else if user.password || user.provider.is_some() {
            Self::Active
        } else {
            Self::Invited
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Invited => "invited",
            Self::Locked => "locked",
        }
    }

    pub(super) fn tint(self) -> Tint {
        match self {
            Self::Active => Tint::Good,
            Self::Invited => Tint::Plain,
            Self::Locked => Tint::Odd,
        }
    }
}
