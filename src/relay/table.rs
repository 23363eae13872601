//! The table of messages: what each side may request, and how it is handled.
//!
//! A message without a row is refused by name.

#![deny(clippy::wildcard_enum_match_arm)]

use super::Side;
use super::content::{Fate, Field, Holds};
use crate::wire::connection::{
    AGENT_CONNECT, AGENT_CONNECT_OPENSSH, AGENT_REQ, AGENT_REQ_OPENSSH, DIRECT_TCPIP, KEEP_ALIVE,
    NO_MORE_SESSIONS, SESSION,
};

/// The context of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameContext {
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

/// How a message is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Passed on, and recorded if it belongs to a session.
    Relay,
    /// Passed on as a request without content, and answered with a failure, which is a sufficient
    /// reply.
    Ask,
    /// Passed on, and no session channel may be opened afterwards.
    RelayLastSession,
    /// Passed on once the recording is stored.
    Start,
    /// Passed on if the permit allows it.
    Permit(Feature),
    /// Passed on if the client has requested such channels before.
    Expected,
    /// Dropped without a reply: part of every connection, and only for the direct peer.
    Swallow,
    /// Refused and audited.
    Refuse,
}

/// A permission of the configuration.
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
pub struct MessageRow {
    /// The sender.
    pub from: Side,
    /// The context.
    pub place: NameContext,
    /// The name on the wire.
    pub name: &'static str,
    /// How it is handled.
    pub verdict: Verdict,
    /// Its fields, without its name.
    pub fields: &'static [Field],
}

const fn row(
    from: Side,
    place: NameContext,
    name: &'static str,
    verdict: Verdict,
    fields: &'static [Field],
) -> MessageRow {
    MessageRow {
        from,
        place,
        name,
        verdict,
        fields,
    }
}

const fn recorded(name: &'static str, holds: Holds) -> Field {
    Field {
        name,
        holds,
        fate: Fate::Recorded,
    }
}

const fn blank(name: &'static str, holds: Holds) -> Field {
    Field {
        name,
        holds,
        fate: Fate::Blank,
    }
}

use Holds::{Flag, Modes, Number, Text};
use NameContext::{Forwarded, Global, Open, Running, Setup};
use Side::{Client, Host};
use Verdict::{Ask, Expected, Permit, Relay, RelayLastSession, Start, Swallow};

/// The longest name of a host: more than DNS has (RFC 1035) and than `NI_MAXHOST`.
const HOST: usize = 1_025;
/// The longest path: Linux's `PATH_MAX`.
const PATH: usize = 4_096;
/// The longest name of a terminal, a signal, a variable, a protocol.
const NAME: usize = 256;
/// The longest text with a signal.
const MESSAGE: usize = 4_096;
/// The longest command or value of a variable: the size of a packet (RFC 4253, 6.1, and OpenSSH's own limit).
const PACKET: usize = 256 * 1024;

const NOTHING: &[Field] = &[];
const ENDPOINTS: &[Field] = &[
    recorded("host", Text(HOST)),
    recorded("port", Number),
    recorded("originator", Text(HOST)),
    recorded("originator_port", Number),
];
const ORIGINATOR: &[Field] = &[
    recorded("originator", Text(HOST)),
    recorded("originator_port", Number),
];
const LISTENER: &[Field] = &[recorded("host", Text(HOST)), recorded("port", Number)];
const SOCKET: &[Field] = &[recorded("path", Text(PATH))];
const TO_SOCKET: &[Field] = &[
    recorded("path", Text(PATH)),
    blank("reserved", Text(HOST)),
    blank("reserved", Number),
];
const FROM_SOCKET: &[Field] = &[recorded("path", Text(PATH)), blank("reserved", Text(HOST))];
const TERMINAL: &[Field] = &[
    recorded("term", Text(NAME)),
    recorded("cols", Number),
    recorded("rows", Number),
    recorded("width", Number),
    recorded("height", Number),
    recorded("modes", Modes),
];
const SIZE: &[Field] = &[
    recorded("cols", Number),
    recorded("rows", Number),
    recorded("width", Number),
    recorded("height", Number),
];
const VARIABLE: &[Field] = &[
    recorded("variable", Text(NAME)),
    recorded("value", Text(PACKET)),
];
const X_DISPLAY: &[Field] = &[
    recorded("single", Flag),
    recorded("protocol", Text(NAME)),
    recorded("cookie", Text(NAME)),
    recorded("screen", Number),
];
const COMMAND: &[Field] = &[recorded("command", Text(PACKET))];
const SIGNAL: &[Field] = &[recorded("signal", Text(NAME))];
const EXIT_STATUS: &[Field] = &[recorded("status", Number)];
const EXIT_SIGNAL: &[Field] = &[
    recorded("signal", Text(NAME)),
    recorded("core", Flag),
    recorded("message", Text(MESSAGE)),
    blank("language", Text(NAME)),
];

/// All rows: RFC 4254, RFC 4335, OpenSSH's PROTOCOL.
#[rustfmt::skip] // one row, one line
pub const TABLE: &[MessageRow] = &[
    row(Client, Open, SESSION, Permit(Feature::Session), NOTHING),
    row(Client, Open, DIRECT_TCPIP, Permit(Feature::Open), ENDPOINTS),
    row(Client, Open, "direct-streamlocal@openssh.com", Permit(Feature::StreamlocalOpen), TO_SOCKET),
    row(Client, Setup, "pty-req", Relay, TERMINAL),
    row(Client, Setup, "env", Permit(Feature::Environment), VARIABLE),
    row(Client, Setup, "window-change", Relay, SIZE),
    row(Client, Setup, AGENT_REQ_OPENSSH, Permit(Feature::Agent), NOTHING),
    row(Client, Setup, AGENT_REQ, Permit(Feature::Agent), NOTHING),
    row(Client, Setup, "x11-req", Permit(Feature::X11), X_DISPLAY),
    row(Client, Setup, "shell", Start, NOTHING),
    row(Client, Setup, "exec", Start, COMMAND),
    row(Client, Setup, "subsystem", Start, COMMAND),
    row(Client, Setup, KEEP_ALIVE, Ask, NOTHING),
    row(Client, Running, "window-change", Relay, SIZE),
    row(Client, Running, "signal", Relay, SIGNAL),
    row(Client, Running, "break", Relay, &[recorded("length", Number)]),
    row(Client, Running, "eow@openssh.com", Relay, NOTHING),
    row(Client, Running, KEEP_ALIVE, Relay, NOTHING),
    row(Client, Forwarded, "eow@openssh.com", Relay, NOTHING),
    row(Client, Forwarded, KEEP_ALIVE, Relay, NOTHING),
    row(Client, Global, "tcpip-forward", Permit(Feature::Listen), LISTENER),
    row(Client, Global, "cancel-tcpip-forward", Permit(Feature::Listen), LISTENER),
    row(Client, Global, "streamlocal-forward@openssh.com", Permit(Feature::StreamlocalListen), SOCKET),
    row(Client, Global, "cancel-streamlocal-forward@openssh.com", Permit(Feature::StreamlocalListen), SOCKET),
    row(Client, Global, KEEP_ALIVE, Ask, NOTHING),
    row(Client, Global, NO_MORE_SESSIONS, RelayLastSession, NOTHING),
    row(Host, Open, "forwarded-tcpip", Expected, ENDPOINTS),
    row(Host, Open, "forwarded-streamlocal@openssh.com", Expected, FROM_SOCKET),
    row(Host, Open, "x11", Expected, ORIGINATOR),
    row(Host, Open, AGENT_CONNECT_OPENSSH, Expected, NOTHING),
    row(Host, Open, AGENT_CONNECT, Expected, NOTHING),
    row(Host, Setup, KEEP_ALIVE, Ask, NOTHING),
    row(Host, Running, "exit-status", Relay, EXIT_STATUS),
    row(Host, Running, "exit-signal", Relay, EXIT_SIGNAL),
    row(Host, Running, "eow@openssh.com", Relay, NOTHING),
    row(Host, Running, "xon-xoff", Relay, &[recorded("client_can_do", Flag)]),
    row(Host, Running, KEEP_ALIVE, Relay, NOTHING),
    row(Host, Forwarded, "eow@openssh.com", Relay, NOTHING),
    row(Host, Forwarded, KEEP_ALIVE, Relay, NOTHING),
    row(Host, Global, KEEP_ALIVE, Ask, NOTHING),
    row(Host, Global, "hostkeys-00@openssh.com", Swallow, NOTHING),
];

/// Finds a row by name; `None` if there is none.
#[must_use]
pub fn find(from: Side, place: NameContext, name: &str) -> Option<&'static MessageRow> {
    TABLE
        .iter()
        .find(|row| row.from == from && row.place == place && row.name == name)
}

/// Finds a row by name.
#[must_use]
pub fn judge(from: Side, place: NameContext, name: &str) -> Verdict {
    find(from, place, name).map_or(Verdict::Refuse, |row| row.verdict)
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "| from | where | name | what becomes of it | what crosses of it |\n|---|---|---|---|---|\n",
    );
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
            Ask => "relayed as a bare question, and its answer as a bare \"no\"".to_owned(),
            RelayLastSession => "relayed; later sessions of the connection are refused".to_owned(),
            Start => "relayed once the recording stands".to_owned(),
            Permit(feature) => format!("relayed and recorded if `permit.{}` has it", feature.key()),
            Expected => "relayed and recorded if the client has asked for it".to_owned(),
            Swallow => "not relayed".to_owned(),
            Verdict::Refuse => "refused and audited".to_owned(),
        };
        text.push_str(&format!(
            "| {} | {place} | `{}` | {verdict} | {} |\n",
            row.from,
            row.name,
            fields(row)
        ));
    }
    text.push_str("| either | anywhere | everything else | refused and audited | nothing |\n");
    text
}

/// The fields of a row that are passed on, for the documentation.
fn fields(row: &MessageRow) -> String {
    let crossing = row
        .fields
        .iter()
        .filter(|field| field.fate == Fate::Recorded);
    let names: Vec<String> = crossing.map(describe).collect();
    match (row.verdict, names.is_empty()) {
        (Swallow | Verdict::Refuse, _) => "nothing".to_owned(),
        (_, true) => "its name".to_owned(),
        (_, false) => names.join(", "),
    }
}

fn describe(field: &Field) -> String {
    match field.holds {
        Text(longest) if longest >= PACKET => format!("`{}`", field.name),
        Text(longest) => format!("`{}` (at most {longest} bytes)", field.name),
        Modes | Number | Flag => format!("`{}`", field.name),
    }
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
