//! The one table: what each side may ask for, and what becomes of it.
//!
//! Whatever has no row is refused by name.

#![deny(clippy::wildcard_enum_match_arm)]

use super::Side;

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The type of a `CHANNEL_OPEN`.
    Open,
    /// The type of a `CHANNEL_REQUEST` before the session runs.
    Setup,
    /// The type of a `CHANNEL_REQUEST` once it runs.
    Running,
    /// The type of a `CHANNEL_REQUEST` on a forwarded channel.
    Forwarded,
    /// The name of a `GLOBAL_REQUEST`.
    Global,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Passed on, recorded where it belongs to a session.
    Relay,
    /// Passed on, and no session channel may be opened afterwards.
    RelayLastSession,
    /// Passed on once the recording stands.
    Start,
    /// Passed on if the permit has it.
    Permit(Feature),
    /// Passed on if the client has asked for such channels before.
    Expected,
    /// Kept from the other side without a word: part of every connection, and about this proxy's peer only.
    Swallow,
    /// Refused and audited.
    Refuse,
}

/// What the configuration permits or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `permit.agent`
    Agent,
    /// `permit.accept_env`
    Environment,
    /// `permit.port_forwarding` and `permit.permit_listen`
    Listen,
    /// `permit.port_forwarding` and `permit.permit_open`
    Open,
    /// `permit.max_sessions`
    Session,
    /// `permit.streamlocal`, from the host
    StreamlocalListen,
    /// `permit.streamlocal`, to the host
    StreamlocalOpen,
    /// `permit.x11`
    X11,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who asks.
    pub from: Side,
    /// Where.
    pub place: Place,
    /// The name on the wire.
    pub name: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
}

const fn row(from: Side, place: Place, name: &'static str, verdict: Verdict) -> Row {
    Row {
        from,
        place,
        name,
        verdict,
    }
}

use Place::{Forwarded, Global, Open, Running, Setup};
use Side::{Client, Host};
use Verdict::{Expected, Permit, Relay, RelayLastSession, Start, Swallow};

/// The request for agent forwarding (RFC 9987).
pub const AGENT_REQ: &str = "agent-req";
/// The same, as OpenSSH has always called it.
pub const AGENT_REQ_OPENSSH: &str = "auth-agent-req@openssh.com";
/// The type of a channel to the agent (RFC 9987).
pub const AGENT_CONNECT: &str = "agent-connect";
/// The same, as OpenSSH has always called it.
pub const AGENT_CONNECT_OPENSSH: &str = "auth-agent@openssh.com";

/// The type of a channel to the agent of a client that has asked for it by this name.
#[must_use]
pub const fn agent_channel(is_by_rfc: bool) -> &'static str {
    match is_by_rfc {
        true => AGENT_CONNECT,
        false => AGENT_CONNECT_OPENSSH,
    }
}

/// All rows: RFC 4254, RFC 4335, OpenSSH's PROTOCOL.
pub const TABLE: &[Row] = &[
    row(Client, Open, "session", Permit(Feature::Session)),
    row(Client, Open, "direct-tcpip", Permit(Feature::Open)),
    row(
        Client,
        Open,
        "direct-streamlocal@openssh.com",
        Permit(Feature::StreamlocalOpen),
    ),
    row(Client, Setup, "pty-req", Relay),
    row(Client, Setup, "env", Permit(Feature::Environment)),
    row(Client, Setup, "window-change", Relay),
    row(Client, Setup, AGENT_REQ_OPENSSH, Permit(Feature::Agent)),
    row(Client, Setup, AGENT_REQ, Permit(Feature::Agent)),
    row(Client, Setup, "x11-req", Permit(Feature::X11)),
    row(Client, Setup, "shell", Start),
    row(Client, Setup, "exec", Start),
    row(Client, Setup, "subsystem", Start),
    row(Client, Setup, "keepalive@openssh.com", Relay),
    row(Client, Running, "window-change", Relay),
    row(Client, Running, "signal", Relay),
    row(Client, Running, "break", Relay),
    row(Client, Running, "eow@openssh.com", Relay),
    row(Client, Running, "keepalive@openssh.com", Relay),
    row(Client, Forwarded, "eow@openssh.com", Relay),
    row(Client, Forwarded, "keepalive@openssh.com", Relay),
    row(Client, Global, "tcpip-forward", Permit(Feature::Listen)),
    row(
        Client,
        Global,
        "cancel-tcpip-forward",
        Permit(Feature::Listen),
    ),
    row(
        Client,
        Global,
        "streamlocal-forward@openssh.com",
        Permit(Feature::StreamlocalListen),
    ),
    row(
        Client,
        Global,
        "cancel-streamlocal-forward@openssh.com",
        Permit(Feature::StreamlocalListen),
    ),
    row(Client, Global, "keepalive@openssh.com", Relay),
    row(
        Client,
        Global,
        "no-more-sessions@openssh.com",
        RelayLastSession,
    ),
    row(Host, Open, "forwarded-tcpip", Expected),
    row(Host, Open, "forwarded-streamlocal@openssh.com", Expected),
    row(Host, Open, "x11", Expected),
    row(Host, Open, AGENT_CONNECT_OPENSSH, Expected),
    row(Host, Open, AGENT_CONNECT, Expected),
    row(Host, Setup, "keepalive@openssh.com", Relay),
    row(Host, Running, "exit-status", Relay),
    row(Host, Running, "exit-signal", Relay),
    row(Host, Running, "eow@openssh.com", Relay),
    row(Host, Running, "xon-xoff", Relay),
    row(Host, Running, "keepalive@openssh.com", Relay),
    row(Host, Forwarded, "eow@openssh.com", Relay),
    row(Host, Forwarded, "keepalive@openssh.com", Relay),
    row(Host, Global, "keepalive@openssh.com", Relay),
    row(Host, Global, "hostkeys-00@openssh.com", Swallow),
];

/// Looks a name up.
#[must_use]
pub fn judge(from: Side, place: Place, name: &str) -> Verdict {
    TABLE
        .iter()
        .find(|row| row.from == from && row.place == place && row.name == name)
        .map_or(Verdict::Refuse, |row| row.verdict)
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut text =
        String::from("| from | where | name | what becomes of it |\n|---|---|---|---|\n");
    for row in TABLE {
        let place = match row.place {
            Open => "channel type",
            Setup => "request before the session",
            Running => "request of a running session",
            Forwarded => "request on a forwarded channel",
            Global => "global request",
        };
        let verdict = match row.verdict {
            Relay => "relayed and recorded".to_owned(),
            RelayLastSession => "relayed; later sessions of the connection are refused".to_owned(),
            Start => "relayed once the recording stands".to_owned(),
            Permit(feature) => format!("relayed and recorded if `permit.{}` has it", feature.key()),
            Expected => "relayed and recorded if the client has asked for it".to_owned(),
            Swallow => "not relayed".to_owned(),
            Verdict::Refuse => "refused and audited".to_owned(),
        };
        text.push_str(&format!(
            "| {} | {place} | `{}` | {verdict} |\n",
            row.from, row.name
        ));
    }
    text.push_str("| either | anywhere | everything else | refused and audited |\n");
    text
}

impl Feature {
    /// Its key in the configuration, below `permit`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Environment => "accept_env",
            Self::Listen => "permit_listen",
            Self::Open => "permit_open",
            Self::Session => "max_sessions",
            Self::StreamlocalListen | Self::StreamlocalOpen => "streamlocal",
            Self::X11 => "x11",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_stands_twice() {
        for (index, row) in TABLE.iter().enumerate() {
            let twin = TABLE[index + 1..].iter().find(|other| {
                (other.from, other.place, other.name) == (row.from, row.place, row.name)
            });
            assert!(twin.is_none(), "{row:?}");
        }
    }

    #[test]
    fn what_has_no_row_is_refused() {
        for name in [
            "tun@openssh.com",
            "x11",
            "",
            "session\0",
            "auth-agent@openssh.com",
        ] {
            assert_eq!(judge(Client, Open, name), Verdict::Refuse);
        }
        assert_eq!(judge(Host, Open, "session"), Verdict::Refuse);
        assert_eq!(judge(Host, Open, "direct-tcpip"), Verdict::Refuse);
        assert_eq!(judge(Client, Running, "exec"), Verdict::Refuse);
        assert_eq!(
            judge(Client, Global, "hostkeys-prove-00@openssh.com"),
            Verdict::Refuse
        );
    }
}
