//! The messages of RFC 4254, read in place and written in two parts.
//!
//! Knows the grammar only: no state, no policy. Nothing is copied while reading; bulk data is never
//! copied while writing, because a message is a small head and a body that stays where it is.

use bytes::Bytes;

use super::fields::{Fields, Head, MalformedMessage, Name};
use super::number;

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

impl Message {
    /// Reads one packet's payload.
    ///
    /// # Errors
    /// When it is not exactly one message of the connection protocol.
    pub fn parse(payload: &Bytes) -> Result<Self, MalformedMessage> {
        let (number, mut fields) = Fields::of_packet(payload)?;
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

    /// The receiver's number of the open channel that it is about, if it is about one.
    #[must_use]
    pub fn channel(&self) -> Option<u32> {
        match self {
            Self::WindowAdjust { recipient, .. }
            | Self::Data { recipient, .. }
            | Self::ExtendedData { recipient, .. }
            | Self::Eof { recipient }
            | Self::Close { recipient }
            | Self::Request { recipient, .. }
            | Self::Success { recipient }
            | Self::Failure { recipient } => Some(*recipient),
            Self::GlobalRequest { .. }
            | Self::RequestSuccess { .. }
            | Self::RequestFailure
            | Self::Open { .. }
            | Self::OpenConfirmation { .. }
            | Self::OpenFailure { .. } => None,
        }
    }

    /// The message as two parts that, one after the other, are the packet's payload.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Bytes) {
        let on = |number, recipient: &u32| Head::new(number).uint32(*recipient);
        let alone = |head: Head| (head.0, Bytes::new());
        let with = |head: Head, data: &Bytes| (head.0, data.clone());
        match self {
            Self::GlobalRequest {
                name,
                want_reply,
                data,
            } => {
                let head = Head::new(number::GLOBAL_REQUEST).string(&name.0);
                with(head.boolean(*want_reply), data)
            }
            Self::RequestSuccess { data } => with(Head::new(number::REQUEST_SUCCESS), data),
            Self::RequestFailure => alone(Head::new(number::REQUEST_FAILURE)),
            Self::Open {
                kind,
                sender,
                window,
                max_packet,
                data,
            } => {
                let head = Head::new(number::CHANNEL_OPEN).string(&kind.0);
                with(
                    head.uint32(*sender).uint32(*window).uint32(*max_packet),
                    data,
                )
            }
            Self::OpenConfirmation {
                recipient,
                sender,
                window,
                max_packet,
                data,
            } => {
                let head = on(number::CHANNEL_OPEN_CONFIRMATION, recipient).uint32(*sender);
                with(head.uint32(*window).uint32(*max_packet), data)
            }
            Self::OpenFailure {
                recipient,
                reason,
                text,
                language,
            } => {
                let head = on(number::CHANNEL_OPEN_FAILURE, recipient).uint32(*reason);
                alone(head.string(text).string(language))
            }
            Self::WindowAdjust { recipient, bytes } => {
                alone(on(number::CHANNEL_WINDOW_ADJUST, recipient).uint32(*bytes))
            }
            Self::Data { recipient, data } => {
                with(on(number::CHANNEL_DATA, recipient).length(data.len()), data)
            }
            Self::ExtendedData {
                recipient,
                code,
                data,
            } => {
                let head = on(number::CHANNEL_EXTENDED_DATA, recipient).uint32(*code);
                with(head.length(data.len()), data)
            }
            Self::Eof { recipient } => alone(on(number::CHANNEL_EOF, recipient)),
            Self::Close { recipient } => alone(on(number::CHANNEL_CLOSE, recipient)),
            Self::Request {
                recipient,
                kind,
                want_reply,
                data,
            } => {
                let head = on(number::CHANNEL_REQUEST, recipient).string(&kind.0);
                with(head.boolean(*want_reply), data)
            }
            Self::Success { recipient } => alone(on(number::CHANNEL_SUCCESS, recipient)),
            Self::Failure { recipient } => alone(on(number::CHANNEL_FAILURE, recipient)),
        }
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
