//! The section `recording`: how sessions are recorded.

use super::key::{DefaultValue, Key, ValueType};
use super::scalar::{SWITCH, Scalar};
use super::table::{OnReload, Protection, section};
use super::value::expected;

section! {
    RECORDING = "recording", RecordingConfig, "How sessions are recorded.", [Clone, Copy] {
        RECORDING_MODE = "mode" => mode: RecordingMode {
            value: MODE,
            default: DefaultValue::Value("strict"),
            reload: OnReload::Applied,
            protection: Protection::Weaker(|old, new| {
                *old == RecordingMode::Strict && *new == RecordingMode::BestEffort
            }),
            doc: "What happens when a recording cannot be written. \"strict\": the session ends. \
                  \"best_effort\": the session goes on, the gap is marked and audited.",
        }
        // Less is recorded without it; more, passwords too, is what it costs.
        PTY_INPUT = "pty_input" => pty_input: bool {
            value: SWITCH.risky(|on| on.then_some(
                "passwords typed into a terminal are stored in recordings",
            )),
            default: DefaultValue::Value("no"),
            reload: OnReload::Applied,
            protection: Protection::WHILE_ON,
            doc: "Whether what is typed into a terminal is stored, passwords included. What is not \
                  stored is counted. The standard input of commands without a terminal is always \
                  stored.",
        }
    }
}

/// `recording.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMode {
    /// No recording, no session.
    Strict,
    /// A session goes on without its recording; the gap is marked and audited.
    BestEffort,
}

const MODE: Scalar<RecordingMode> = Scalar::new(
    ValueType::Choice(&["strict", "best_effort"]),
    recording_mode,
    |mode| {
        match mode {
            RecordingMode::Strict => "strict",
            RecordingMode::BestEffort => "best_effort",
        }
        .to_owned()
    },
)
.risky(|mode| {
    (*mode == RecordingMode::BestEffort)
        .then_some("sessions go on if their recording cannot be written")
});

fn recording_mode(key: &Key, text: &str) -> Result<RecordingMode, String> {
    match text {
        "strict" => Ok(RecordingMode::Strict),
        "best_effort" => Ok(RecordingMode::BestEffort),
        _ => Err(expected(key, text)),
    }
}
