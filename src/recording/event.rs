//! What a recording tells: output, input, resizes, requests, the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One of the three byte streams of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// From the user to the host.
    Stdin,
    /// From the host to the user.
    Stdout,
    /// From the host to the user, extended data type 1 (RFC 4254, 5.2).
    Stderr,
}

impl Stream {
    /// The word in `b` lines and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The user's ssh.
    Client,
    /// The host's sshd.
    Host,
    /// The proxy itself.
    Proxy,
}

/// A channel request or message that has no event code of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelNote {
    /// Who sent it.
    pub from: Side,
    /// Its name in the words of RFC 4254: `env`, `signal`, `eof`, ...
    pub name: String,
    /// What it says, by name. Bytes that may not be UTF-8 go under a key that ends in `_hex`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl ChannelNote {
    /// A note without fields.
    pub fn new(from: Side, name: impl Into<String>) -> Self {
        Self {
            from,
            name: name.into(),
            fields: Map::new(),
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(key.into(), value.into());
        self
    }
}

/// Something was relayed and not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapNote {
    /// How many bytes of output and input.
    pub bytes: u64,
    /// In how many events.
    pub events: u64,
    /// Why.
    pub reason: String,
}

/// How the session ended on the host's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitNote {
    /// `exit-status`.
    Status(u32),
    /// `exit-signal`.
    Signal(ExitSignal),
    /// The channel closed without either.
    Unknown,
}

/// The fields of `exit-signal` (RFC 4254, 6.10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSignal {
    /// The signal's name without `SIG`.
    pub name: String,
    /// Whether a core was dumped.
    pub core: bool,
    /// The host's explanation.
    pub message: String,
}

/// One event of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Time since the session began, in whole milliseconds.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Bytes from the host.
    Output {
        /// Standard output or standard error.
        stream: Stream,
        /// Exactly as they came.
        bytes: Vec<u8>,
    },
    /// Bytes from the user.
    Input(Vec<u8>),
    /// This many bytes were typed and not stored.
    InputWithheld(u64),
    /// The terminal has a new size.
    Resize {
        /// Width in characters, at least 1.
        cols: u16,
        /// Height in rows, at least 1.
        rows: u16,
    },
    /// A label.
    Marker(String),
    /// A request.
    Request(ChannelNote),
    /// Something is missing here.
    Gap(GapNote),
    /// The session ended.
    Exit(ExitNote),
    /// A code that this version does not know.
    Other {
        /// The code.
        code: char,
        /// Its data.
        data: String,
    },
}
