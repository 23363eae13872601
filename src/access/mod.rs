//! Who may reach what: the ladder from a verified certificate or a sign-in to the permit for one login,
//! and the policy that decides on it.
//!
//! `VerifiedUserCert` or [`SignIn`] → [`Identity`] → [`Permit`] → [`LoginPermit`]. Each rung has private fields and
//! one constructor, so that nothing can be dialled or relayed without the checks below it. The policy
//! is asked on the last two rungs, and gives a [`Grant`]. Pure: no clock, no I/O, no audit.

mod address;
mod any_login;
#[cfg(test)]
mod any_login_tests;
mod forwarding;
mod identity;
mod join;
mod join_mode;
#[cfg(test)]
mod join_tests;
mod pattern;
mod permit;
#[cfg(test)]
mod permit_tests;
mod permits;
mod policy;
#[cfg(test)]
mod policy_tests;
mod role;
mod route;
mod rule_ref;
mod sign_in;
#[cfg(test)]
pub(crate) mod testing;

pub use address::{Forbidden, may_dial, plain};
pub use forwarding::{
    DEFAULT_ACCEPT_ENV, Direction, EndpointPattern, EndpointPatterns, NamePattern, NamePatterns,
    PatternError, Permissions,
};
pub use identity::{Identity, IdentityProof, PolicySubject};
pub use join::{JoinDenial, JoinGrant, may_join};
pub use join_mode::JoinMode;
pub use pattern::{NotAPattern, Pattern};
pub use permit::{
    Denial, InnerProof, LoginPermit, OtherCredential, Permit, authorize, logins_at, may_enter,
};
pub use permits::Permits;
pub use policy::{Constraint, Grant, Life, Policy, PolicyDenial, Question};
pub use role::{
    LabelPattern, PermitKey, RequestedHost, Role, RoleBinding, RolePermit, Rule, Spanned,
};
pub use route::{HostWay, Route};
pub use rule_ref::RuleRef;
pub use sign_in::{ConfirmedSignIn, SignIn, SignInError};
