//! Hosts that join: their tokens, names and labels, and their certificates.
//!
//! Rules over the state and the host CA, asked about one connection at a time ([`EnrolmentService`]).
//! Invariants:
//! - a host is known by its host key alone, which has signed for the connection: the signature is verified
//!   here, and counts for one connection;
//! - a host becomes a node with a token that is spent in the state, under names that the token allows, and
//!   that neither another node nor the proxy has;
//! - labels and names of the token are the administrator's: no report changes them;
//! - a certificate is issued only for the key that has proved itself, under the names that the state has,
//!   while the node is not locked and neither key nor name is revoked;
//! - a host learns nothing about other nodes, besides that a name is taken;
//! - the state has the hash of a token only, and no log has the token.
//!
//! It decides over ssh and uses none: it gets typed questions of other processes, which may be
//! controlled by an attacker.

mod admin;
mod certificates;
mod context;
mod heartbeat;
mod host;
mod joining;
mod labels;
mod names;
mod pace;
mod proving;
mod refusal;
mod report;
mod service;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod tunnels;

pub use admin::{
    EnrolmentError, IssuedToken, MAX_TOKEN_TTL, MAX_TOKEN_USES, NewToken, NodeAdmin, TokenAdmin,
};
pub use context::{EnrolmentParts, IssuesForHosts};
pub use service::EnrolmentService;
pub use settings::EnrolmentSettings;
