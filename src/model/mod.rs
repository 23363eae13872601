//! The nouns that every room speaks: names, ids, targets, labels.
//!
//! Values only: no I/O, no async, no clock. Every string with a grammar is a type here, parsed once.

mod chain;
mod data_dir;
mod duration;
mod host_address;
mod host_name;
mod id;
mod label;
mod name;
mod network;
mod participant;
mod postgres_url;
mod session_kind;
mod target;
mod target_error;
pub mod text;
mod tunnel_rule;

pub use chain::chain;
pub use data_dir::DataDir;
pub use duration::{
    DurationError, format_duration, format_in_one_unit, parse_duration, parse_duration_with_units,
};
pub use host_address::HostAddress;
pub use host_name::HostName;
pub use id::{ConnectionId, NodeId, Serial, SessionId};
pub use label::{Label, LabelError};
pub use name::{ClusterName, HostPrincipal, Login, NameError, Principal, UserName};
pub use network::network;
pub use participant::ParticipantId;
pub use postgres_url::{PostgresUrl, PostgresUrlError, percent_decoded};
pub use session_kind::SessionKind;
pub use target::Target;
pub use target_error::TargetError;
pub use tunnel_rule::{TunnelRule, TunnelRuleError};
