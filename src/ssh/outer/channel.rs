//! The channels of an outer connection, and the reasons why it ends or refuses.

use std::time::Duration;

use crate::model::format_duration;
use crate::ssh::channel::{AGENT_WINDOW, ChannelPort, ChannelStream, EARLY_WINDOW, Port};
use crate::ssh::end_reason::EndReason;
use crate::ssh::endpoint::AgentRequest;
use crate::ssh::leg::LegError;
use crate::ssh::refusal::Refusal;
use crate::wire::connection::MalformedMessage;

impl EndpointError {
    /// The reason for the connections inside.
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
    /// The client does not answer keepalives.
    #[error("the client has not answered for {}", format_duration(*.0))]
    Lost(Duration),
    /// The client has had no channel for this long.
    #[error("nothing was asked for within {}", format_duration(*.0))]
    Idle(Duration),
}

/// A channel that ends in the proxy.
#[derive(Debug)]
pub(super) enum Channel {
    /// A session without a request so far.
    Session {
        port: Port,
        stream: Option<ChannelStream>,
        forwards_agent: bool,
        /// It has requested a terminal, so a user reads its stderr.
        has_terminal: bool,
        /// Why its request will be refused, if that is known already.
        refusal: Option<Refusal>,
    },
    /// A connection by ProxyJump.
    Jump { port: Port },
    /// The channel to the agent, not confirmed yet.
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

    /// How much the client may send before it is read, if the limit of the connection is `most`.
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
