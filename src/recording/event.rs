//! The events of a recording: output, input, resizes, requests, the end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::participant::ParticipantInput;
use super::verbatim::{Verbatim, from_hex};
use crate::model::text;

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

/// Ends the key of exact bytes.
const HEX: &str = "_hex";

/// The side that sent a request.
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
    /// The side that sent it.
    pub from: Side,
    /// Its name in the words of RFC 4254: `env`, `signal`, `eof`, ...
    pub name: String,
    /// What it says, by name. Where a text is not the bytes that it stands for, these are beside it in
    /// hexadecimal, under its key with `_hex` behind it.
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

    /// Adds a string of the wire: readable, and exact.
    #[must_use]
    pub fn with_bytes(mut self, key: &str, bytes: &[u8]) -> Self {
        let said = Verbatim::from(bytes);
        if let Some(hex) = said.hex() {
            self.fields.insert(format!("{key}{HEX}"), hex.into());
        }
        self.with(key, said.text())
    }

    /// Adds a text as the user read it, and the bytes that were sent where they are others.
    #[must_use]
    pub fn with_shown(mut self, key: &str, shown: &str, sent: &[u8]) -> Self {
        if shown.as_bytes() != sent {
            self.fields
                .insert(format!("{key}{HEX}"), text::hex(sent).into());
        }
        self.with(key, shown)
    }

    /// Adds a list of such texts; where any was sent as something else, what was sent of all.
    #[must_use]
    pub fn with_all_shown<'a>(
        mut self,
        key: &str,
        texts: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let (shown, sent): (Vec<&str>, Vec<&[u8]>) = texts.unzip();
        if shown
            .iter()
            .zip(&sent)
            .any(|(shown, sent)| shown.as_bytes() != *sent)
        {
            let sent: Vec<String> = sent.into_iter().map(text::hex).collect();
            self.fields.insert(format!("{key}{HEX}"), sent.into());
        }
        self.with(key, shown)
    }

    /// The exact bytes of a string of the wire. `None` where there is none.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let text = |key: &str| self.fields.get(key)?.as_str();
        match text(&format!("{key}{HEX}")) {
            Some(hex) => from_hex(hex),
            None => text(key).map(|text| text.as_bytes().to_vec()),
        }
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

/// Most bytes of each text of a signal in the footer, which is found in one piece.
const MAX_BRIEF: usize = 1 << 10;

impl ExitNote {
    /// As the footer has it: short, whatever a host said.
    pub(super) fn brief(&self) -> Self {
        match self {
            Self::Signal(signal) => Self::Signal(ExitSignal {
                name: signal.name.beginning(MAX_BRIEF),
                core: signal.core,
                message: signal.message.beginning(MAX_BRIEF),
            }),
            Self::Status(_) | Self::Unknown => self.clone(),
        }
    }
}

/// The fields of `exit-signal` (RFC 4254, 6.10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SignalFields", into = "SignalFields")]
pub struct ExitSignal {
    /// The signal's name without `SIG`.
    pub name: Verbatim,
    /// Whether a core was dumped.
    pub core: bool,
    /// The host's explanation.
    pub message: Verbatim,
}

/// The same as it is written.
#[derive(Serialize, Deserialize)]
struct SignalFields {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    core: bool,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_hex: Option<String>,
}

impl From<ExitSignal> for SignalFields {
    fn from(signal: ExitSignal) -> Self {
        Self {
            name: signal.name.text().into_owned(),
            name_hex: signal.name.hex(),
            core: signal.core,
            message: signal.message.text().into_owned(),
            message_hex: signal.message.hex(),
        }
    }
}

impl TryFrom<SignalFields> for ExitSignal {
    type Error = &'static str;

    fn try_from(fields: SignalFields) -> Result<Self, Self::Error> {
        let read = |text, hex: Option<String>| {
            Verbatim::read(text, hex.as_deref()).ok_or("not hexadecimal")
        };
        Ok(Self {
            name: read(fields.name, fields.name_hex)?,
            core: fields.core,
            message: read(fields.message, fields.message_hex)?,
        })
    }
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
    /// What a participant of the session typed.
    ParticipantInput(ParticipantInput),
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
