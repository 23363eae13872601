//! SSH over sockets: the life of a connection.
//!
//! 1. [`listener`]: a client connects; each connection lives on one worker thread.
//! 2. `outer`: the client authenticates with a user certificate, forwards its agent, and asks for the
//!    subsystem `proxy:host:port`.
//! 3. `route`: the target is parsed, resolved and authorised; nothing is dialled before.
//! 4. `dial_plan`: the target's name is looked up; a target that leads nowhere is refused before
//!    anything is signed.
//! 5. `connection`: the user's own ssh is terminated inside the channel (`inner`) while the host is
//!    dialled and checked (`upstream`); the agent makes one signature; then
//! 6. `bridge`: packets are relayed, each after it was recorded.
//!
//! ProxyJump forwards no agent on the outer connection. There, `jump` accepts the user's ssh first,
//! asks the agent that it forwards on the inner connection, and then dials.
//!
//! A certificate that is revoked while it is in use ends its connections (`revocation`), and so does a
//! sign-in that ends (`sign_in_changes`), and a policy that no longer permits them (`policy_monitor`). A proxy that stops warns its users first, and
//! waits for `drain_timeout`.
//!
//! Every refusal results in a text for the user and one audit event (`refusal`).

mod agent;
mod asked_connection;
mod authentication;
mod bridge;
mod budget;
mod caller;
mod channel;
mod compute;
mod connection;
mod conversation;
mod criteria;
mod dial_plan;
mod early;
mod end_reason;
mod endpoint;
mod expiry_warnings;
mod freshness;
mod front_auth;
mod host_certificate;
mod identify;
mod inner_auth;
mod jump;
mod key_rounds;
mod known_hosts;
mod leg;
pub mod listener;
mod minting;
mod node;
mod outer;
mod own_address;
mod peers;
mod people_client;
mod policy_monitor;
pub mod probe;
mod proxy_address;
mod refusal;
mod revocation;
mod revocation_file;
mod route;
mod scope;
mod served_leg;
mod services;
mod settings;
mod sign_in;
mod sign_in_changes;
#[cfg(test)]
pub(crate) mod testing;
mod timers;
mod trust;
mod tunnel_error;
mod tunnels;
mod upstream;
mod verifier;
mod waiting_line;

pub(crate) use budget::Budget;
pub(crate) use compute::ComputeQueue;
pub(crate) use criteria::Criteria;
pub(crate) use expiry_warnings::HostExpiry;
pub use freshness::Freshness;
pub(crate) use front_auth::FrontAuth;
pub(crate) use host_certificate::HostCertificates;
pub use node::{HostReport, ReportError, ReportReader};
pub(crate) use node::{NodeServices, NodesClient};
pub(crate) use peers::{PeerParts, Peers};
pub(crate) use people_client::PeopleClient;
pub(crate) use policy_monitor::PolicySource;
pub(crate) use revocation_file::RevocationFile;
pub(crate) use route::Router;
pub(crate) use services::{InnerServices, OuterServices};
pub use settings::{CurrentSettings, Settings};
pub use sign_in_changes::SignInChanges;
pub use timers::TimeLimits;
pub use trust::{CurrentTrust, Trust};
pub(crate) use tunnels::{OtherTunnels, Tunnels};
pub(crate) use upstream::{Attempts, Dialler, HostDial, HostKeys};
