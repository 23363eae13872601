//! The first line of a recording: the user, the login, the host, the session.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RecordingError;
use super::verbatim::Verbatim;
use crate::model::{ConnectionId, SessionId, SessionKind, text};

/// Most that players are shown of a client's string, in bytes.
const MAX_SHOWN: usize = 4 << 10;

/// The terminal as `pty-req` asked for it (RFC 4254, 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pty {
    /// The `TERM` value.
    pub term: Verbatim,
    /// Width in characters.
    pub cols: u32,
    /// Height in rows.
    pub rows: u32,
}

/// What is known about a session when its recording begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session; the file is named after it.
    pub session: SessionId,
    /// The inner connection that it belongs to.
    pub connection: ConnectionId,
    /// The proxy's cluster name.
    pub cluster: String,
    /// The identity: the certificate's key id.
    pub user: String,
    /// The account on the host.
    pub login: String,
    /// What the user asked for, `host:port`.
    pub target: String,
    /// The inventory's name of the host, where it has one.
    pub node: Option<String>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The proxy's end of the connection to the host: the address and port that sshd logs. Not known
    /// through a tunnel, and in recordings of earlier versions.
    pub egress_addr: Option<String>,
    /// What kind of channel this is.
    pub kind: SessionKind,
    /// The command line, or the subsystem's name.
    pub command: Option<Verbatim>,
    /// The client's address.
    pub client: Option<String>,
    /// The serial number of the certificate that the host was shown.
    pub serial: Option<u64>,
    /// SHA-256 fingerprint of the user's key, as `ssh-keygen -l` prints it.
    pub fingerprint: Option<String>,
    /// When the session began.
    pub start: DateTime<Utc>,
    /// The terminal, where the session has one.
    pub pty: Option<Pty>,
}

impl Header {
    /// That of a session of which no more is known; texts are empty.
    #[must_use]
    pub fn new(
        session: SessionId,
        connection: ConnectionId,
        kind: SessionKind,
        start: DateTime<Utc>,
    ) -> Self {
        Self {
            session,
            connection,
            cluster: String::new(),
            user: String::new(),
            login: String::new(),
            target: String::new(),
            node: None,
            address: None,
            egress_addr: None,
            kind,
            command: None,
            client: None,
            serial: None,
            fingerprint: None,
            start,
            pty: None,
        }
    }

    /// The inventory's name of the host, else the host as it was asked for.
    #[must_use]
    pub fn host(&self) -> &str {
        self.node.as_deref().unwrap_or_else(|| self.asked_host())
    }

    /// The host as it was asked for, without its port.
    #[must_use]
    pub fn asked_host(&self) -> &str {
        let split = self.target.rsplit_once(':');
        split.map_or(self.target.as_str(), |(host, _port)| host)
    }

    /// The header line, LF included.
    pub(super) fn to_line(&self) -> Result<Vec<u8>, RecordingError> {
        let mut line =
            serde_json::to_vec(&HeaderLine::from(self)).map_err(RecordingError::Header)?;
        line.push(b'\n');
        Ok(line)
    }

    /// What is ours in the header, and the terminal, as an object of an export.
    pub(super) fn to_json(&self) -> Result<Value, RecordingError> {
        #[derive(Serialize)]
        struct Export {
            #[serde(rename = "type")]
            kind: &'static str,
            term: Term,
            #[serde(flatten)]
            ours: Ours,
        }
        let line = HeaderLine::from(self);
        serde_json::to_value(Export {
            kind: "header",
            term: line.term,
            ours: line.rproxy,
        })
        .map_err(RecordingError::Header)
    }

    /// Reads a header line, with or without its LF.
    pub(super) fn from_line(line: &[u8]) -> Result<Self, RecordingError> {
        let format: FormatOnly = serde_json::from_slice(line)
            .map_err(|_syntax| RecordingError::NotARecording("no asciicast header of rproxy"))?;
        if format.version != 3 {
            return Err(RecordingError::NotARecording("not asciicast version 3"));
        }
        if format.rproxy.format != super::FORMAT {
            let found = format.rproxy.format;
            return Err(RecordingError::Version { found });
        }
        serde_json::from_slice::<HeaderLine>(line)
            .ok()
            .and_then(Self::read)
            .ok_or(RecordingError::NotARecording("its header lacks a value"))
    }

    /// The terminal's size as players read it: 80x24 without a PTY, else within 1..=65535.
    #[must_use]
    pub fn size(&self) -> (u16, u16) {
        self.pty
            .as_ref()
            .map_or((80, 24), |pty| (clamped(pty.cols), clamped(pty.rows)))
    }
}

fn clamped(size: u32) -> u16 {
    u16::try_from(size.max(1)).unwrap_or(u16::MAX)
}

/// The header as JSON has it: asciicast's own keys around ours.
#[derive(Serialize, Deserialize)]
struct HeaderLine {
    version: u32,
    term: Term,
    timestamp: i64,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    rproxy: Ours,
}

#[derive(Serialize, Deserialize)]
struct Term {
    cols: u16,
    rows: u16,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Ours {
    format: u32,
    session: SessionId,
    connection: ConnectionId,
    cluster: String,
    user: String,
    login: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    egress_addr: Option<String>,
    kind: SessionKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    term_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal")]
    serial: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(with = "milliseconds")]
    start: DateTime<Utc>,
    pty: bool,
}

/// The least that tells whether the rest can be read.
#[derive(Deserialize)]
struct FormatOnly {
    version: u32,
    rproxy: FormatNumber,
}

#[derive(Deserialize)]
struct FormatNumber {
    format: u32,
}

impl From<&Header> for HeaderLine {
    fn from(header: &Header) -> Self {
        let (cols, rows) = header.size();
        let command = header.command.as_ref();
        let term = header.pty.as_ref().map(|pty| Shown::new(&pty.term));
        Self {
            version: 3,
            term: Term {
                cols,
                rows,
                kind: term.as_ref().map(|term| term.text.clone()),
            },
            timestamp: header.start.timestamp(),
            title: format!("{}@{} ({})", header.login, header.target, header.user),
            command: command.map(|command| Shown::new(command).text),
            rproxy: Ours {
                format: super::FORMAT,
                session: header.session,
                connection: header.connection,
                cluster: header.cluster.clone(),
                user: header.user.clone(),
                login: header.login.clone(),
                target: header.target.clone(),
                node: header.node.clone(),
                address: header.address.clone(),
                egress_addr: header.egress_addr.clone(),
                kind: header.kind,
                command: command.map(|command| command.text().into_owned()),
                command_hex: command.and_then(Verbatim::hex),
                term_hex: term.and_then(|term| term.hex),
                client: header.client.clone(),
                serial: header.serial,
                fingerprint: header.fingerprint.clone(),
                start: header.start,
                pty: header.pty.is_some(),
            },
        }
    }
}

/// What a player shows of a string: not all of a long one, because a header has to fit into a line
/// whatever a client sends.
struct Shown {
    text: String,
    /// The bytes, where the text is not all of them.
    hex: Option<String>,
}

impl Shown {
    fn new(said: &Verbatim) -> Self {
        let text = said.text();
        let shown = text.get(..text.floor_char_boundary(MAX_SHOWN));
        let is_whole = text.len() <= MAX_SHOWN;
        Self {
            text: shown.unwrap_or_default().to_owned(),
            hex: said
                .hex()
                .or_else(|| (!is_whole).then(|| text::hex(said.bytes()))),
        }
    }
}

impl Header {
    /// `None` where a value is not what its key says.
    fn read(line: HeaderLine) -> Option<Self> {
        let ours = line.rproxy;
        let term = line.term;
        let command = match ours.command {
            Some(text) => Some(Verbatim::read(text, ours.command_hex.as_deref())?),
            None => None,
        };
        let kind = term.kind.unwrap_or_default();
        let kind = Verbatim::read(kind, ours.term_hex.as_deref())?;
        Some(Self {
            session: ours.session,
            connection: ours.connection,
            cluster: ours.cluster,
            user: ours.user,
            login: ours.login,
            target: ours.target,
            node: ours.node,
            address: ours.address,
            egress_addr: ours.egress_addr,
            kind: ours.kind,
            command,
            client: ours.client,
            serial: ours.serial,
            fingerprint: ours.fingerprint,
            start: ours.start,
            pty: ours.pty.then(|| Pty {
                term: kind,
                cols: u32::from(term.cols),
                rows: u32::from(term.rows),
            }),
        })
    }
}

/// RFC 3339 in UTC with milliseconds, as every time in a recording is written.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Times with milliseconds, in UTC.
pub(super) mod milliseconds {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::recording) fn serialize<S: Serializer>(
        time: &DateTime<Utc>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::rfc3339(*time))
    }

    pub(in crate::recording) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|time| time.to_utc())
            .map_err(D::Error::custom)
    }
}

/// Numbers over 2^53 as strings: many JSON readers lose their last digits.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        number: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => serializer.serialize_str(&number.to_string()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}
