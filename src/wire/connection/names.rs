//! Names of the protocol that more than one party uses.

use bytes::Bytes;

use super::fields::Name;
use super::message::Message;

/// The type of a session channel (RFC 4254, 6.1).
pub const SESSION: &str = "session";
/// The type of a channel to a TCP address that the client names (RFC 4254, 7.2).
pub const DIRECT_TCPIP: &str = "direct-tcpip";
/// The type of a channel from a port that the peer has asked to forward (RFC 4254, 7.2).
pub const FORWARDED_TCPIP: &str = "forwarded-tcpip";
/// The question whether the peer is still there. A peer need not know it to answer.
pub const KEEP_ALIVE: &str = "keepalive@openssh.com";
/// The client promises to open no more sessions (OpenSSH's PROTOCOL, 2.2).
pub const NO_MORE_SESSIONS: &str = "no-more-sessions@openssh.com";
/// Agent forwarding by the name of RFC 9987.
pub const AGENT_REQ: &str = "agent-req";
/// Agent forwarding by OpenSSH's own name.
pub const AGENT_REQ_OPENSSH: &str = "auth-agent-req@openssh.com";

/// The type of a channel to the agent by the name of RFC 9987.
pub const AGENT_CONNECT: &str = "agent-connect";
/// The same by OpenSSH's own name.
pub const AGENT_CONNECT_OPENSSH: &str = "auth-agent@openssh.com";

/// The type of a channel to the agent, by the name of RFC 9987 or by OpenSSH's.
#[must_use]
pub const fn agent_channel(by_rfc: bool) -> &'static str {
    if by_rfc {
        AGENT_CONNECT
    } else {
        AGENT_CONNECT_OPENSSH
    }
}

/// Asks the peer whether it is still there.
#[must_use]
pub fn keep_alive() -> Message {
    Message::GlobalRequest {
        name: Name::from_static(KEEP_ALIVE),
        want_reply: true,
        data: Bytes::new(),
    }
}
