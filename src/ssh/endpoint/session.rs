//! A session channel on which no program was started (RFC 4254, 6).

use crate::ssh::channel::ChannelStream;

/// A session that waits for the request that says what it is for.
#[derive(Debug)]
pub(crate) struct PendingSession {
    pub(crate) stream: ChannelStream,
    /// The client has asked for agent forwarding.
    pub(crate) forwards_agent: bool,
    /// It has asked for a terminal: a person reads what is said here.
    pub(crate) has_terminal: bool,
    /// The terminal's columns and rows, where it has said them.
    pub(crate) terminal_size: Option<(u32, u32)>,
}

impl PendingSession {
    /// A session that has asked for nothing.
    pub(super) fn new(stream: ChannelStream) -> Self {
        Self {
            stream,
            forwards_agent: false,
            has_terminal: false,
            terminal_size: None,
        }
    }
}
