//! The connection protocol (RFC 4254): its messages, and the rules that apply to every side.
//!
//! Grammar and order only: no policy, and no state except how far a channel has been closed. The
//! relay ([`crate::relay`]) and the endpoints in `ssh` build on it, so that no rule is written
//! twice.

mod breach;
mod ending;
mod fields;
mod message;
mod names;
pub mod number;

pub use breach::Breach;
pub use ending::{EXIT_REFUSED, Ending, exit_status};
pub use fields::{Fields, Head, MAX_NAME, MalformedMessage, Name};
pub use message::{Message, OpenFailure, STDERR};
pub use names::{
    AGENT_CONNECT, AGENT_CONNECT_OPENSSH, AGENT_REQ, AGENT_REQ_OPENSSH, DIRECT_TCPIP,
    FORWARDED_TCPIP, KEEP_ALIVE, NO_MORE_SESSIONS, SESSION, agent_channel, keep_alive,
};
