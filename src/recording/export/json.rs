//! JSON lines: one object per line, with the complete content.
//!
//! The first has `type` `header` and the header's keys; then one per event with `type`, `at`
//! (seconds since the start) and, where it has bytes, `base64`, and `text` too when they are UTF-8;
//! the last has `type` `end`, `state` (`complete` or `truncated`) and the `footer`.

use std::io::{Read, Write};

use serde_json::{Value, json};
use ssh_encoding::base64::{Base64, Encoding};

use super::super::event::{Event, EventKind};
use super::super::participant::{ParticipantInput, Typed};
use super::super::reader::{Reader, State};
use super::error::ExportError;
use crate::model::text;

pub(super) fn export<R: Read>(
    reader: &mut Reader<R>,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    put(out, &reader.header().to_json()?)?;
    for event in reader.by_ref() {
        put(out, &object(&event?))?;
    }
    let end = match reader.state() {
        State::Complete(footer) => json!({"type": "end", "state": "complete", "footer": footer}),
        State::Reading | State::Truncated | State::Damaged => {
            json!({"type": "end", "state": "truncated", "footer": null})
        }
    };
    put(out, &end)
}

fn put(out: &mut impl Write, object: &Value) -> Result<(), ExportError> {
    Ok(writeln!(out, "{}", text::json(&object.to_string()))?)
}

fn object(event: &Event) -> Value {
    let (kind, fields) = match &event.kind {
        EventKind::Output { stream, bytes } => {
            let mut fields = bytes_of(bytes);
            fields.push(("stream", json!(stream)));
            ("output", fields)
        }
        EventKind::Input(bytes) => ("input", bytes_of(bytes)),
        EventKind::InputWithheld(count) => ("input-withheld", vec![("bytes", json!(count))]),
        EventKind::ParticipantInput(input) => ("participant-input", participant_input(input)),
        EventKind::Resize { cols, rows } => {
            ("resize", vec![("cols", json!(cols)), ("rows", json!(rows))])
        }
        EventKind::Marker(text) => ("marker", vec![("text", json!(text))]),
        EventKind::Request(note) => ("request", vec![("request", json!(note))]),
        EventKind::Gap(gap) => ("gap", vec![("gap", json!(gap))]),
        EventKind::Exit(exit) => ("exit", vec![("exit", json!(exit))]),
        EventKind::Other { code, data } => {
            ("other", vec![("code", json!(code)), ("data", json!(data))])
        }
    };
    let head = [("type", json!(kind)), ("at", json!(event.at.as_secs_f64()))];
    let fields = head.into_iter().chain(fields);
    fields.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn participant_input(input: &ParticipantInput) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("participant", json!(input.participant)),
        ("user", json!(input.user)),
    ];
    match &input.typed {
        Typed::Bytes(said) => fields.extend(bytes_of(said.bytes())),
        Typed::Withheld(count) => fields.push(("bytes", json!(count))),
    }
    fields
}

fn bytes_of(bytes: &[u8]) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("base64", json!(Base64::encode_string(bytes)))];
    if let Ok(text) = std::str::from_utf8(bytes) {
        fields.push(("text", json!(text)));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::Call;
    use super::super::Format;
    use super::super::tests::{exported, stdout};
    use super::*;

    #[test]
    fn every_event_is_an_object() {
        let calls = [
            stdout(b"\xff\n"),
            Call::Wait(1250),
            Call::Input(b"hello".to_vec()),
            Call::Resize(90, 20),
        ];
        let lines = String::from_utf8(exported(&calls, true, Format::Json)).unwrap();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["type"], "header");
        assert_eq!(lines[0]["user"], "alice");
        let output = json!({"type": "output", "stream": "stdout", "at": 0.0, "base64": "/wo="});
        assert_eq!(lines[1], output);
        let input = json!({"type": "input", "at": 1.25, "base64": "aGVsbG8=", "text": "hello"});
        assert_eq!(lines[2], input);
        assert_eq!(lines[3]["cols"], 90);
        assert_eq!(lines[4]["state"], "complete");
        assert_eq!(lines[4]["footer"]["bytes"]["stdin"], 5);
    }
}
