//! What somebody typed who had joined the session: the `j` line (`FORMAT.md`, section 3).

use serde::{Deserialize, Serialize};

use super::verbatim::Verbatim;

/// What a participant typed at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ParticipantFields", into = "ParticipantFields")]
pub struct ParticipantInput {
    /// The participant's number in the session, from 1.
    pub participant: u16,
    /// Whose identity.
    pub user: String,
    /// What was typed.
    pub typed: Typed,
}

/// The bytes, or how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Exactly as they came.
    Bytes(Verbatim),
    /// So many that are not stored.
    Withheld(u64),
}

/// The same as it is written.
#[derive(Serialize, Deserialize)]
struct ParticipantFields {
    participant: u16,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl From<ParticipantInput> for ParticipantFields {
    fn from(input: ParticipantInput) -> Self {
        let (text, text_hex, bytes) = match &input.typed {
            Typed::Bytes(said) => (Some(said.text().into_owned()), said.hex(), None),
            Typed::Withheld(count) => (None, None, Some(*count)),
        };
        Self {
            participant: input.participant,
            user: input.user,
            text,
            text_hex,
            bytes,
        }
    }
}

impl TryFrom<ParticipantFields> for ParticipantInput {
    type Error = &'static str;

    fn try_from(fields: ParticipantFields) -> Result<Self, Self::Error> {
        let typed = match (fields.text, fields.bytes) {
            (Some(text), None) => Typed::Bytes(
                Verbatim::read(text, fields.text_hex.as_deref()).ok_or("not hexadecimal")?,
            ),
            (None, Some(count)) => Typed::Withheld(count),
            (Some(_), Some(_)) | (None, None) => return Err("neither text nor a number of bytes"),
        };
        Ok(Self {
            participant: fields.participant,
            user: fields.user,
            typed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Event, EventKind, Live, Options, Reader, State, testing};
    use super::*;
    use crate::model::SessionKind;

    /// What is read of a recording in which bob, participant 2, typed this.
    fn read_back(pty_input: bool, bytes: &[u8]) -> Vec<ParticipantInput> {
        let header = testing::header(SessionKind::Shell, true);
        let options = Options { pty_input };
        let mut live = Live::start(Vec::new(), &header, options, Duration::ZERO).unwrap();
        live.input(Duration::ZERO, b"ls");
        live.participant_input(Duration::ZERO, 2, "bob", bytes);
        live.commit().unwrap();
        let (file, summary) = live.finish(Duration::ZERO).unwrap();
        let totals = summary.footer.bytes;
        assert_eq!(totals.stdin + totals.withheld, 2, "the client's alone");
        let mut reader = Reader::open(file.as_slice()).unwrap();
        let events: Vec<Event> = reader.by_ref().map(Result::unwrap).collect();
        assert!(matches!(reader.state(), State::Complete(_)));
        let inputs = events.into_iter().filter_map(|event| match event.kind {
            EventKind::ParticipantInput(input) => Some(input),
            _ => None,
        });
        inputs.collect()
    }

    #[test]
    fn what_a_participant_typed_comes_back_byte_for_byte() {
        let long = "é".repeat(20_000).into_bytes();
        for bytes in [&b"rm -r x\r"[..], b"\xff\x00\x1b[A", &long] {
            let inputs = read_back(true, bytes);
            let mut typed = Vec::new();
            for input in inputs {
                assert_eq!((input.participant, input.user.as_str()), (2, "bob"));
                let Typed::Bytes(said) = input.typed else {
                    panic!("it is stored");
                };
                assert!(said.bytes().len() <= 16 << 10);
                typed.extend_from_slice(said.bytes());
            }
            assert_eq!(typed, bytes);
        }
    }

    #[test]
    fn it_is_only_counted_where_input_is_not_stored() {
        let [input] = read_back(false, b"secret\r").try_into().unwrap();
        assert_eq!(input.typed, Typed::Withheld(7));
    }

    #[test]
    fn a_line_with_both_or_neither_is_none() {
        for data in [
            r#"{"participant":1,"user":"bob"}"#,
            r#"{"participant":1,"user":"bob","text":"a","bytes":1}"#,
            r#"{"participant":1,"user":"bob","text":"a","text_hex":"zz"}"#,
            r#"{"participant":65536,"user":"bob","bytes":1}"#,
        ] {
            assert!(serde_json::from_str::<ParticipantInput>(data).is_err());
        }
    }
}
