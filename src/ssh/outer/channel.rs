//! What an outer connection consists of: its channels, and the ways in which it ends or refuses.

use std::time::Duration;

use crate::model::format_duration;
use crate::ssh::channel::{AGENT_WINDOW, ChannelPort, ChannelStream, EARLY_WINDOW, Port};
use crate::ssh::end_reason::EndReason;
use crate::ssh::endpoint::AgentRequest;
use crate::ssh::leg::LegError;
use crate::ssh::refusal::Refusal;
use crate::wire::connection::MalformedMessage;

impl EndpointError {
    /// What that means for the connections inside.
    pub(super) fn end_reason(&self) -> EndReason {
        match self {
            Self::Lost(silence) => EndReason::OuterLost(*silence),
            Self::Leg(LegError::Protocol(_)) | Self::Malformed(_) | Self::Breach(_) => {
                EndReason::OuterBroken
            }
            Self::Leg(_) | Self::Idle(_) => EndReason::OuterLeft,
        }
    }
}

/// Why an outer connection ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndpointError {
    #[error(transparent)]
    Leg(#[from] LegError),
    #[error(transparent)]
    Malformed(#[from] MalformedMessage),
    #[error("{0}")]
    Breach(&'static str),
    /// The client does not answer any more.
    #[error("the client has not answered for {}", format_duration(*.0))]
    Lost(Duration),
    /// The client has had no channel for this long.
    #[error("nothing was asked for within {}", format_duration(*.0))]
    Idle(Duration),
}

/// A channel of ours.
#[derive(Debug)]
pub(super) enum Channel {
    /// A session that has not asked for anything yet.
    Session {
        port: Port,
        stream: Option<ChannelStream>,
        forwards_agent: bool,
        /// It has asked for a terminal: a person reads what is said here.
        has_terminal: bool,
        /// Why nothing comes of what it asks for, if that is known already.
        refusal: Option<Refusal>,
    },
    /// A connection by ProxyJump.
    Jump { port: Port },
    /// The agent, asked for.
    OpeningAgent {
        port: ChannelPort,
        stream: ChannelStream,
        reply: AgentRequest,
    },
    /// The agent.
    Agent { port: Port },
}

impl Channel {
    pub(super) fn port(&mut self) -> Option<&mut Port> {
        match self {
            Self::Session { port, .. } | Self::Jump { port } | Self::Agent { port } => Some(port),
            Self::OpeningAgent { .. } => None,
        }
    }

    /// Whether it leads to the client's agent.
    pub(super) fn leads_to_agent(&self) -> bool {
        matches!(self, Self::OpeningAgent { .. } | Self::Agent { .. })
    }

    /// What the client may send on it before it is read, if it is as much as `most` on a connection.
    pub(super) fn window(&self, most: u32) -> u32 {
        match self {
            Self::Session {
                stream: Some(_), ..
            } => EARLY_WINDOW,
            Self::Session { stream: None, .. } | Self::Jump { .. } => most,
            Self::OpeningAgent { .. } | Self::Agent { .. } => AGENT_WINDOW,
        }
    }
}
