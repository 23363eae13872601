//! The connection protocol (RFC 4254) for connections that end here, and what is served on them.
//!
//! `machine` is a state machine without sockets, tasks or time: packets in, messages out. It keeps the
//! rules: channels and their numbers, windows, one answer to each request in the order of the
//! requests, EOF and CLOSE. What a channel or a request is for decides the owner, as [`Services`]; a
//! new service is a file of its own that begins in one of the methods there or in [`SessionServices`].
//!
//! A channel can be kept for a relay: then what the peer says waits, and [`Endpoint::into_relay`]
//! hands both over.

mod agent;
mod channels;
mod kept;
mod machine;
mod outlet;
mod programs;
mod services;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use agent::{AgentOpener, AgentRequest, NoAgent};
pub(crate) use kept::KeepLimits;
pub(crate) use machine::{ChannelRoom, Endpoint, Takeover};
pub(crate) use outlet::LegOutlet;
pub(crate) use programs::{SessionServices, serve};
pub(crate) use services::{Answer, OpenAnswered, OpenRequest, Services};
pub(crate) use session::PendingSession;
