//! The connection protocol (RFC 4254) for connections that end here, and what is served on them.

mod agent;

pub(crate) use agent::{AgentOpener, AgentRequest, NoAgent};
