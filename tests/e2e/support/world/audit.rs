//! The proxy's recordings and audit events.

use std::path::PathBuf;

use serde_json::Value;

use super::World;
use crate::support::keys;
use crate::support::recordings::text;

impl World {
    /// `rproxy recordings ls --format json`.
    pub(crate) fn recordings(&self) -> Vec<Value> {
        let listing = keys::tool(self.rproxy().args(["recordings", "ls", "--format", "json"]));
        serde_json::from_str(&listing)
            .unwrap_or_else(|error| panic!("not a JSON array: {error}\n{listing}"))
    }

    /// The one recording there is.
    pub(crate) fn recording(&self) -> Value {
        let mut recordings = self.recordings();
        assert_eq!(recordings.len(), 1, "one recording, not {recordings:#?}");
        recordings.remove(0)
    }

    /// The one recording there is, once its session has ended.
    pub(crate) fn finished_recording(&self) -> Value {
        self.eventually("the recording is complete", || {
            let recordings = self.recordings();
            match recordings.as_slice() {
                [one] if one["state"] == "complete" => Some(one.clone()),
                _ => None,
            }
        })
    }

    /// All recording files, also those that the listing does not show.
    pub(crate) fn recording_files(&self) -> Vec<PathBuf> {
        keys::files(&self.data())
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(".cast.zst"))
            .collect()
    }

    /// All audit events, oldest first. A line that the proxy is writing just now is not among them.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data().join("audit.jsonl")).unwrap_or_default();
        let (whole, _begun) = text.rsplit_once('\n').unwrap_or_default();
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not a JSON line: {error}\n{line}"))
            })
            .collect()
    }

    /// The audit events of this name, oldest first.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let mut events = self.audit();
        events.retain(|event| event["event"] == name);
        events
    }

    /// The end of the one session there was, as soon as it is audited.
    pub(crate) fn session_end(&self) -> Value {
        self.eventually("the end of the session is audited", || {
            self.events("session.end").pop()
        })
    }

    /// The audit events about refusals, as soon as there is one: it may be written after the user
    /// has read the message.
    pub(crate) fn refusals(&self) -> Vec<Value> {
        self.eventually("a refusal is audited", || {
            let refusals = self.refusals_so_far();
            (!refusals.is_empty()).then_some(refusals)
        })
    }

    /// The audit events about refusals; they name a leg and a reason.
    pub(crate) fn refusals_so_far(&self) -> Vec<Value> {
        let mut events = self.audit();
        events.retain(|event| event["leg"].is_string() && event["reason"].is_string());
        events
    }

    /// One stream of a recording, byte for byte.
    pub(crate) fn exported(&self, recording: &Value, stream: &str) -> Vec<u8> {
        keys::tool_bytes(
            self.rproxy()
                .args(["recordings", "export", "--format=raw"])
                .arg(format!("--stream={stream}"))
                .arg(text(recording, "id")),
        )
    }

    /// Everything in a recording, as JSON.
    pub(crate) fn exported_as_json(&self, recording: &Value) -> String {
        keys::tool(
            self.rproxy()
                .args(["recordings", "export", "--format=json"])
                .arg(text(recording, "id")),
        )
    }
}
