//! The messages of the SSH connection protocol (RFC 4254), read in place and written in two parts.
//!
//! Knows the grammar only: no state, no policy. Nothing is copied while reading; bulk data is never
//! copied while writing, because a message is a small head and a body that stays where it is.

use bytes::Bytes;
use thiserror::Error;

/// Message numbers (RFC 4250, 4.1.2).
pub mod number {
    /// `SSH_MSG_GLOBAL_REQUEST`
    pub const GLOBAL_REQUEST: u8 = 80;
    /// `SSH_MSG_REQUEST_SUCCESS`
    pub const REQUEST_SUCCESS: u8 = 81;
    /// `SSH_MSG_REQUEST_FAILURE`
    pub const REQUEST_FAILURE: u8 = 82;
    /// `SSH_MSG_CHANNEL_OPEN`
    pub const CHANNEL_OPEN: u8 = 90;
    /// `SSH_MSG_CHANNEL_OPEN_CONFIRMATION`
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    /// `SSH_MSG_CHANNEL_OPEN_FAILURE`
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    /// `SSH_MSG_CHANNEL_WINDOW_ADJUST`
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    /// `SSH_MSG_CHANNEL_DATA`
    pub const CHANNEL_DATA: u8 = 94;
    /// `SSH_MSG_CHANNEL_EXTENDED_DATA`
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    /// `SSH_MSG_CHANNEL_EOF`
    pub const CHANNEL_EOF: u8 = 96;
    /// `SSH_MSG_CHANNEL_CLOSE`
    pub const CHANNEL_CLOSE: u8 = 97;
    /// `SSH_MSG_CHANNEL_REQUEST`
    pub const CHANNEL_REQUEST: u8 = 98;
    /// `SSH_MSG_CHANNEL_SUCCESS`
    pub const CHANNEL_SUCCESS: u8 = 99;
    /// `SSH_MSG_CHANNEL_FAILURE`
    pub const CHANNEL_FAILURE: u8 = 100;
}

/// The longest name: twice what RFC 4251, section 6, allows, for those who count otherwise.
pub const MAX_NAME: usize = 128;

/// `SSH_EXTENDED_DATA_STDERR`, the only extended data type there is (RFC 4254, 5.2).
pub const STDERR: u32 = 1;

/// Why a channel is not opened (RFC 4254, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum OpenFailure {
    /// `SSH_OPEN_ADMINISTRATIVELY_PROHIBITED`
    AdministrativelyProhibited = 1,
    /// `SSH_OPEN_CONNECT_FAILED`
    ConnectFailed = 2,
    /// `SSH_OPEN_UNKNOWN_CHANNEL_TYPE`
    UnknownChannelType = 3,
    /// `SSH_OPEN_RESOURCE_SHORTAGE`
    ResourceShortage = 4,
}

/// A message that does not follow RFC 4254.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MalformedMessage {
    /// It ends before its last field.
    #[error("a message with number {0} is cut short")]
    Short(u8),
    /// Something follows its last field.
    #[error("a message with number {0} is longer than its fields")]
    Long(u8),
    /// A name is not ASCII, or longer than a name may be.
    #[error("a message with number {0} holds a name that is not ASCII, or too long")]
    Name(u8),
    /// A channel that takes no data at all: whoever writes to it would wait for ever.
    #[error("a message with number {0} opens a channel with a maximum packet size of 0")]
    NoPacket(u8),
    /// A text is longer than it may be.
    #[error("a message with number {0} holds a text that is too long")]
    Text(u8),
    /// The connection protocol has no such message.
    #[error("message number {0} does not belong to the connection protocol")]
    Unknown(u8),
    /// A packet without a message number.
    #[error("an empty packet")]
    Empty,
}

/// One message; fields as in RFC 4254. Slices and `Bytes` point into the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of RFC 4254, under their names there"
)]
pub enum Message {
    GlobalRequest {
        name: Name,
        want_reply: bool,
        data: Bytes,
    },
    RequestSuccess {
        data: Bytes,
    },
    RequestFailure,
    Open {
        kind: Name,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: Bytes,
    },
    OpenConfirmation {
        recipient: u32,
        sender: u32,
        window: u32,
        max_packet: u32,
        data: Bytes,
    },
    OpenFailure {
        recipient: u32,
        reason: u32,
        text: Bytes,
        language: Bytes,
    },
    WindowAdjust {
        recipient: u32,
        bytes: u32,
    },
    Data {
        recipient: u32,
        data: Bytes,
    },
    ExtendedData {
        recipient: u32,
        code: u32,
        data: Bytes,
    },
    Eof {
        recipient: u32,
    },
    Close {
        recipient: u32,
    },
    Request {
        recipient: u32,
        kind: Name,
        want_reply: bool,
        data: Bytes,
    },
    Success {
        recipient: u32,
    },
    Failure {
        recipient: u32,
    },
}

/// A name of the protocol: ASCII (RFC 4250, 4.6.1), in the packet that carried it.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Bytes);

impl Name {
    /// A name of ours.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(Bytes::from_static(name.as_bytes()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Both constructors take ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Message {
    /// Reads one packet's payload.
    ///
    /// # Errors
    /// When it is not exactly one message of the connection protocol.
    pub fn parse(payload: &Bytes) -> Result<Self, MalformedMessage> {
        let number = *payload.first().ok_or(MalformedMessage::Empty)?;
        let mut fields = Fields {
            number,
            rest: payload.slice(1..),
        };
        let message = match number {
            number::GLOBAL_REQUEST => Self::GlobalRequest {
                name: fields.name()?,
                want_reply: fields.boolean()?,
                data: fields.rest(),
            },
            number::REQUEST_SUCCESS => Self::RequestSuccess {
                data: fields.rest(),
            },
            number::REQUEST_FAILURE => Self::RequestFailure,
            number::CHANNEL_OPEN => Self::Open {
                kind: fields.name()?,
                sender: fields.uint32()?,
                window: fields.uint32()?,
                max_packet: fields.max_packet()?,
                data: fields.rest(),
            },
            number::CHANNEL_OPEN_CONFIRMATION => Self::OpenConfirmation {
                recipient: fields.uint32()?,
                sender: fields.uint32()?,
                window: fields.uint32()?,
                max_packet: fields.max_packet()?,
                data: fields.rest(),
            },
            number::CHANNEL_OPEN_FAILURE => Self::OpenFailure {
                recipient: fields.uint32()?,
                reason: fields.uint32()?,
                text: fields.string()?,
                language: fields.string()?,
            },
            number::CHANNEL_WINDOW_ADJUST => Self::WindowAdjust {
                recipient: fields.uint32()?,
                bytes: fields.uint32()?,
            },
            number::CHANNEL_DATA => Self::Data {
                recipient: fields.uint32()?,
                data: fields.string()?,
            },
            number::CHANNEL_EXTENDED_DATA => Self::ExtendedData {
                recipient: fields.uint32()?,
                code: fields.uint32()?,
                data: fields.string()?,
            },
            number::CHANNEL_EOF => Self::Eof {
                recipient: fields.uint32()?,
            },
            number::CHANNEL_CLOSE => Self::Close {
                recipient: fields.uint32()?,
            },
            number::CHANNEL_REQUEST => Self::Request {
                recipient: fields.uint32()?,
                kind: fields.name()?,
                want_reply: fields.boolean()?,
                data: fields.rest(),
            },
            number::CHANNEL_SUCCESS => Self::Success {
                recipient: fields.uint32()?,
            },
            number::CHANNEL_FAILURE => Self::Failure {
                recipient: fields.uint32()?,
            },
            other => return Err(MalformedMessage::Unknown(other)),
        };
        fields.end()?;
        Ok(message)
    }

    /// The message as two parts that, one after the other, are the packet's payload.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Bytes) {
        let empty = Bytes::new();
        match self {
            Self::GlobalRequest {
                name,
                want_reply,
                data,
            } => {
                let head = Head::new(number::GLOBAL_REQUEST)
                    .string(&name.0)
                    .boolean(*want_reply);
                (head.0, data.clone())
            }
            Self::RequestSuccess { data } => (Head::new(number::REQUEST_SUCCESS).0, data.clone()),
            Self::RequestFailure => (Head::new(number::REQUEST_FAILURE).0, empty),
            Self::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } => {
                let head = Head::new(number::CHANNEL_OPEN).string(&kind.0);
                (
                    head.uint32(*sender).uint32(*window).uint32(*max_packet).0,
                    data.clone(),
                )
            }
            Self::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                data,
            } => {
                let head = Head::new(number::CHANNEL_OPEN_CONFIRMATION).uint32(*recipient);
                (
                    head.uint32(*sender).uint32(*window).uint32(*max_packet).0,
                    data.clone(),
                )
            }
            Self::OpenFailure {
                recipient,
                reason,
                text,
                language,
            } => {
                let head = Head::new(number::CHANNEL_OPEN_FAILURE).uint32(*recipient);
                (head.uint32(*reason).string(text).string(language).0, empty)
            }
            Self::WindowAdjust { recipient, bytes } => {
                let head = Head::new(number::CHANNEL_WINDOW_ADJUST).uint32(*recipient);
                (head.uint32(*bytes).0, empty)
            }
            Self::Data { recipient, data } => {
                let head = Head::new(number::CHANNEL_DATA).uint32(*recipient);
                (head.length(data.len()).0, data.clone())
            }
            Self::ExtendedData {
                recipient,
                code,
                data,
            } => {
                let head = Head::new(number::CHANNEL_EXTENDED_DATA).uint32(*recipient);
                (head.uint32(*code).length(data.len()).0, data.clone())
            }
            Self::Eof { recipient } => (Head::new(number::CHANNEL_EOF).uint32(*recipient).0, empty),
            Self::Close { recipient } => {
                (Head::new(number::CHANNEL_CLOSE).uint32(*recipient).0, empty)
            }
            Self::Request {
                recipient,
                kind,
                want_reply,
                data,
            } => {
                let head = Head::new(number::CHANNEL_REQUEST)
                    .uint32(*recipient)
                    .string(&kind.0);
                (head.boolean(*want_reply).0, data.clone())
            }
            Self::Success { recipient } => (
                Head::new(number::CHANNEL_SUCCESS).uint32(*recipient).0,
                empty,
            ),
            Self::Failure { recipient } => (
                Head::new(number::CHANNEL_FAILURE).uint32(*recipient).0,
                empty,
            ),
        }
    }
}

/// Reads the fields of RFC 4251, section 5, one after the other.
#[derive(Debug)]
pub struct Fields {
    number: u8,
    rest: Bytes,
}

impl Fields {
    /// The request-specific data of a `CHANNEL_REQUEST`.
    #[must_use]
    pub fn of_request(data: &Bytes) -> Self {
        Self {
            number: number::CHANNEL_REQUEST,
            rest: data.clone(),
        }
    }

    /// The type-specific data of a `CHANNEL_OPEN_CONFIRMATION`.
    #[must_use]
    pub fn of_confirmation(data: &Bytes) -> Self {
        Self {
            number: number::CHANNEL_OPEN_CONFIRMATION,
            rest: data.clone(),
        }
    }

    /// The request-specific data of a `REQUEST_SUCCESS`.
    #[must_use]
    pub fn of_success(data: &Bytes) -> Self {
        Self {
            number: number::REQUEST_SUCCESS,
            rest: data.clone(),
        }
    }

    /// The type-specific data of a `CHANNEL_OPEN`.
    #[must_use]
    pub fn of_open(data: &Bytes) -> Self {
        Self {
            number: number::CHANNEL_OPEN,
            rest: data.clone(),
        }
    }

    /// The request-specific data of a `GLOBAL_REQUEST`.
    #[must_use]
    pub fn of_global(data: &Bytes) -> Self {
        Self {
            number: number::GLOBAL_REQUEST,
            rest: data.clone(),
        }
    }

    /// A `uint32`.
    ///
    /// # Errors
    /// When fewer than four bytes are left.
    pub fn uint32(&mut self) -> Result<u32, MalformedMessage> {
        let Some((bytes, _)) = self.rest.split_first_chunk::<4>() else {
            return Err(MalformedMessage::Short(self.number));
        };
        let value = u32::from_be_bytes(*bytes);
        self.rest = self.rest.slice(4..);
        Ok(value)
    }

    /// The most data that the other side takes in one message (RFC 4254, 5.1).
    fn max_packet(&mut self) -> Result<u32, MalformedMessage> {
        match self.uint32()? {
            0 => Err(MalformedMessage::NoPacket(self.number)),
            size => Ok(size),
        }
    }

    /// A `boolean`: everything but zero is true.
    ///
    /// # Errors
    /// When no byte is left.
    pub fn boolean(&mut self) -> Result<bool, MalformedMessage> {
        let Some(byte) = self.rest.first() else {
            return Err(MalformedMessage::Short(self.number));
        };
        let value = *byte != 0;
        self.rest = self.rest.slice(1..);
        Ok(value)
    }

    /// A `string`.
    ///
    /// # Errors
    /// When it is longer than what is left.
    pub fn string(&mut self) -> Result<Bytes, MalformedMessage> {
        let length = self.uint32()? as usize;
        if length > self.rest.len() {
            return Err(MalformedMessage::Short(self.number));
        }
        Ok(self.rest.split_to(length))
    }

    /// A `string` of at most so many bytes.
    ///
    /// # Errors
    /// As [`Fields::string`], and when it is longer.
    pub fn string_of(&mut self, longest: usize) -> Result<Bytes, MalformedMessage> {
        let bytes = self.string()?;
        if bytes.len() > longest {
            return Err(MalformedMessage::Text(self.number));
        }
        Ok(bytes)
    }

    /// What is said of a message with something that does not belong there.
    #[must_use]
    pub fn too_long(&self) -> MalformedMessage {
        MalformedMessage::Long(self.number)
    }

    /// What is said of a message in which something is missing.
    #[must_use]
    pub fn too_short(&self) -> MalformedMessage {
        MalformedMessage::Short(self.number)
    }

    /// A `string` that names something.
    ///
    /// # Errors
    /// As [`Fields::string`], and when it is not printable ASCII of at most [`MAX_NAME`] bytes.
    pub fn name(&mut self) -> Result<Name, MalformedMessage> {
        let bytes = self.string()?;
        if bytes.len() <= MAX_NAME && bytes.iter().all(u8::is_ascii_graphic) {
            Ok(Name(bytes))
        } else {
            Err(MalformedMessage::Name(self.number))
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&self) -> Result<(), MalformedMessage> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(MalformedMessage::Long(self.number))
        }
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }
}

/// Writes the fields of RFC 4251, section 5, one after the other.
#[derive(Debug)]
pub struct Head(Vec<u8>);

impl Head {
    fn new(number: u8) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(number);
        Self(bytes)
    }

    /// The beginning of request-specific data, which has no message number.
    #[must_use]
    pub fn of_data() -> Self {
        Self(Vec::new())
    }

    /// Adds a `uint32`.
    #[must_use]
    pub fn uint32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Adds a `boolean`.
    #[must_use]
    pub fn boolean(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    /// Adds a `string`.
    #[must_use]
    pub fn string(self, bytes: &[u8]) -> Self {
        let mut head = self.length(bytes.len());
        head.0.extend_from_slice(bytes);
        head
    }

    /// The fields as bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// Strings here are parts of packets, which are far below 4 GiB.
    fn length(self, length: usize) -> Self {
        self.uint32(u32::try_from(length).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn name() -> impl Strategy<Value = Name> {
        "[!-~]{0,20}".prop_map(|text| Name(Bytes::from(text)))
    }

    fn message() -> impl Strategy<Value = Message> {
        let id = any::<u32>;
        prop_oneof![
            (name(), any::<bool>(), bytes()).prop_map(|(name, want_reply, data)| {
                Message::GlobalRequest {
                    name,
                    want_reply,
                    data,
                }
            }),
            bytes().prop_map(|data| Message::RequestSuccess { data }),
            Just(Message::RequestFailure),
            (name(), id(), id(), id(), bytes()).prop_map(
                |(kind, sender, window, max_packet, data)| {
                    Message::Open {
                        kind,
                        sender,
                        window,
                        max_packet,
                        data,
                    }
                }
            ),
            (id(), id(), id(), id(), bytes()).prop_map(
                |(recipient, sender, window, max_packet, data)| Message::OpenConfirmation {
                    recipient,
                    sender,
                    window,
                    max_packet,
                    data
                }
            ),
            (id(), id(), bytes(), bytes()).prop_map(|(recipient, reason, text, language)| {
                Message::OpenFailure {
                    recipient,
                    reason,
                    text,
                    language,
                }
            }),
            (id(), id()).prop_map(|(recipient, bytes)| Message::WindowAdjust { recipient, bytes }),
            (id(), bytes()).prop_map(|(recipient, data)| Message::Data { recipient, data }),
            (id(), id(), bytes()).prop_map(|(recipient, code, data)| Message::ExtendedData {
                recipient,
                code,
                data
            }),
            id().prop_map(|recipient| Message::Eof { recipient }),
            id().prop_map(|recipient| Message::Close { recipient }),
            (id(), name(), any::<bool>(), bytes()).prop_map(
                |(recipient, kind, want_reply, data)| {
                    Message::Request {
                        recipient,
                        kind,
                        want_reply,
                        data,
                    }
                }
            ),
            id().prop_map(|recipient| Message::Success { recipient }),
            id().prop_map(|recipient| Message::Failure { recipient }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses_back(message in message()) {
            let (head, body) = message.encode();
            let payload = Bytes::from([head.as_slice(), &body].concat());
            prop_assert_eq!(Message::parse(&payload), Ok(message));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _judged = Message::parse(&Bytes::from(payload));
        }

        #[test]
        fn a_message_cut_short_or_extended_is_refused(
            recipient: u32, data in proptest::collection::vec(any::<u8>(), 0..40), cut in 1usize..8,
        ) {
            let (head, body) = Message::Data { recipient, data: data.into() }.encode();
            let mut payload = [head.as_slice(), &body].concat();
            payload.push(0);
            prop_assert!(Message::parse(&Bytes::from(payload.clone())).is_err());
            payload.truncate(payload.len() - 1 - cut.min(payload.len() - 2));
            prop_assert!(Message::parse(&Bytes::from(payload)).is_err());
        }
    }
}
