//! Why there is no stream through a tunnel.

use std::time::Duration;

use thiserror::Error;

/// How long a node may take to open a stream: its ssh connects to its own sshd.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no stream through a tunnel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum TunnelError {
    /// The node has no tunnel to this process.
    #[error("the host has no tunnel open to this proxy")]
    None,
    /// The node's ssh has refused the channel, with this text: its sshd does not accept connections.
    #[error("the host's ssh could not connect to its sshd: {0}")]
    Refused(String),
    /// There are as many streams as a tunnel may have, or as many that the node has not opened yet.
    #[error("the host's tunnel has as many streams as it may have")]
    Crowded,
    /// The node has neither opened nor refused the channel in time.
    #[error("the host's ssh opened nothing within {} seconds", OPEN_TIMEOUT.as_secs())]
    Silent,
    /// The tunnel has ended meanwhile.
    #[error("the host's tunnel has ended")]
    Ended,
    /// The node has no tunnel here, and another proxy gives no stream either, for this reason.
    #[error("{0}")]
    Elsewhere(String),
}
