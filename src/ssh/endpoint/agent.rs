//! The client's agent, as the connections inside an outer connection ask for it.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::ssh::channel::ChannelStream;

/// How long the client may take to open a channel to its agent.
const AGENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no channel to the client's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAgent {
    /// The client did not open one.
    Silent,
    /// The connection has the maximum number of channels to the agent.
    Crowded,
}

/// Where the result of one request for a channel to the agent is sent.
pub(crate) type AgentRequest = oneshot::Sender<Result<ChannelStream, NoAgent>>;

/// Asks the client for a channel to its agent. Exists only where the client has asked for agent
/// forwarding.
#[derive(Clone, Debug)]
pub(crate) struct AgentOpener {
    pub(crate) requests: mpsc::Sender<AgentRequest>,
}

impl AgentOpener {
    /// Opens a channel to the agent.
    ///
    /// # Errors
    /// Why there is no channel.
    pub(crate) async fn open(&self) -> Result<ChannelStream, NoAgent> {
        let (sender, receiver) = oneshot::channel();
        let asked = self.requests.send(sender).await;
        asked.map_err(|_closed| NoAgent::Silent)?;
        match tokio::time::timeout(AGENT_TIMEOUT, receiver).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_dropped)) => Err(NoAgent::Silent),
            Err(_elapsed) => Err(NoAgent::Silent),
        }
    }
}
