//! The fields of messages (RFC 4251, section 5): read in place, written one after the other.

use bytes::Bytes;
use thiserror::Error;

use super::number;

/// The longest name in bytes: twice what RFC 4251, section 6, allows, for peers that count otherwise.
pub const MAX_NAME: usize = 128;

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
    /// A channel that takes no data at all: a peer that writes to it would wait for ever.
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

/// A name of the protocol: ASCII (RFC 4250, 4.6.1), in the packet that carried it.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(pub(super) Bytes);

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

/// Reads the fields of RFC 4251, section 5, one after the other.
#[derive(Debug)]
pub struct Fields {
    number: u8,
    rest: Bytes,
}

impl Fields {
    /// The fields of a whole packet, and its message number.
    pub(super) fn of_packet(payload: &Bytes) -> Result<(u8, Self), MalformedMessage> {
        let number = *payload.first().ok_or(MalformedMessage::Empty)?;
        let rest = payload.slice(1..);
        Ok((number, Self { number, rest }))
    }

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
    pub(super) fn max_packet(&mut self) -> Result<u32, MalformedMessage> {
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

    /// The error for a message with something that does not belong there.
    #[must_use]
    pub fn too_long(&self) -> MalformedMessage {
        MalformedMessage::Long(self.number)
    }

    /// The error for a message in which something is missing.
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

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }
}

/// Writes the fields of RFC 4251, section 5, one after the other.
#[derive(Debug)]
pub struct Head(pub(super) Vec<u8>);

impl Head {
    pub(super) fn new(number: u8) -> Self {
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
    pub(super) fn length(self, length: usize) -> Self {
        self.uint32(u32::try_from(length).unwrap_or(u32::MAX))
    }
}
