//! People: their credentials, and how they sign in.
//!
//! Rules over the state, and one conversation for each connection as a state machine
//! ([`PeopleService`]). Invariants:
//! - nobody is signed in without right answers and a signature by a registered key, both verified here,
//!   or a sign-in with that key that is in force in the state;
//! - a browser is signed in with right answers alone, and gets a token of which the state has the hash; it
//!   can see hosts and the person's own account, and gets no certificate;
//! - a browser that comes back from an identity provider is not signed in by that: the terminal is that
//!   has shown the link, when the code is typed there and a key has proved itself;
//! - a certificate is issued only for a key that has proved itself, while the sign-in is in force in the
//!   state, and only for logins that the policy allows the person somewhere;
//! - what is used once (an invitation, a code, a recovery code) is spent in the state before it counts;
//! - names that nobody has are asked the same and take the same time as others;
//! - nobody can lock another person out;
//! - passwords and codes are in no log, and answers are wiped.
//!
//! It decides over ssh and uses none: it gets typed questions of other processes, which may be
//! controlled by an attacker.

mod admin;
mod asker;
mod browser;
mod browser_passwords;
mod browser_refusal;
mod browser_secrets;
mod browser_sessions;
mod changing;
mod common_passwords;
mod completion;
mod context;
mod conversation;
mod counting;
mod credentials;
mod hosts;
mod invitation;
mod keys;
mod minting;
mod own;
mod password;
mod provider;
mod proving;
mod qr;
mod questions;
mod recovery;
mod refusal;
mod service;
mod session_refusal;
mod settings;
mod signing_in;
mod signing_in_by_browser;
mod signing_up;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod throttle;
mod totp;
mod typed_code;
mod vouched;

pub use admin::{AccessChange, Admin, AdminError, NewInvitation, NewPerson, PersonDetails};
pub use context::{IssuesForPeople, PeopleParts};
pub use minting::CONNECTION_TTL;
pub use password::{HashFailed, MAX_PASSWORD, MIN_PASSWORD};
pub use provider::{BrowserSignIn, IdentityProvider};
pub use service::PeopleService;
pub use settings::{PeopleSettings, RequiredFactor};
