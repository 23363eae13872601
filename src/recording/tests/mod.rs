//! The format's promises, from the writer through the file to the reader.

mod damage;
mod golden;
mod roundtrip;
mod seeking;
mod trouble;

use std::io;
use std::time::Duration;

use proptest::prelude::*;

use super::batch::Spacing;
use super::testing::header;
use super::*;
use crate::model::SessionKind;

/// One call on a recording.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Output(Stream, Vec<u8>),
    Input(Vec<u8>),
    Resize(u32, u32),
    Marker(String),
    Request(ChannelNote),
    Gap(GapNote),
    Exit(ExitNote),
    Commit,
    Idle,
    Wait(u64),
}

pub(super) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => ".{0,120}".prop_map(String::into_bytes),
        3 => proptest::collection::vec(any::<u8>(), 0..200),
        2 => Just("ü€😀".as_bytes()).prop_flat_map(|text| {
            (0..text.len()).prop_map(|cut| text[cut..].to_vec())
        }),
        1 => Just("ü€😀".as_bytes()).prop_flat_map(|text| {
            (0..text.len()).prop_map(|cut| text[..cut].to_vec())
        }),
        1 => proptest::collection::vec(any::<u8>(), 3000..9000),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let output = prop_oneof![
        Just(Stream::Stdout),
        Just(Stream::Stdout),
        Just(Stream::Stderr)
    ];
    let exit = prop_oneof![
        any::<u32>().prop_map(ExitNote::Status),
        (bytes(), any::<bool>(), bytes()).prop_map(|(name, core, message)| {
            ExitNote::Signal(ExitSignal {
                name: name.into(),
                core,
                message: message.into(),
            })
        }),
        Just(ExitNote::Unknown),
    ];
    prop_oneof![
        8 => (output, bytes()).prop_map(|(stream, bytes)| Call::Output(stream, bytes)),
        4 => bytes().prop_map(Call::Input),
        1 => (0..70_000u32, 0..70_000u32).prop_map(|(cols, rows)| Call::Resize(cols, rows)),
        1 => ".{0,20}".prop_map(Call::Marker),
        1 => (".{0,9}", bytes()).prop_map(|(name, value)| {
            Call::Request(ChannelNote::new(Side::Client, name).with_bytes("value", &value))
        }),
        1 => (any::<u32>(), any::<u32>(), ".{0,9}").prop_map(|(bytes, events, reason)| {
            Call::Gap(GapNote { bytes: bytes.into(), events: events.into(), reason })
        }),
        1 => exit.prop_map(Call::Exit),
        5 => Just(Call::Commit),
        1 => Just(Call::Idle),
        3 => (0..4000u64).prop_map(Call::Wait),
    ]
}

pub(super) fn calls() -> impl Strategy<Value = Vec<Call>> {
    proptest::collection::vec(call(), 0..40)
}

/// What a recording says, apart from how streams are cut into events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Story {
    pub(super) stdin: Vec<u8>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) withheld: u64,
    /// Everything else, with its time.
    pub(super) rest: Vec<Event>,
    /// Order of the streams: each entry is where a run of one stream ends.
    pub(super) runs: Vec<(u8, usize)>,
}

impl Story {
    pub(super) fn tell(&mut self, event: Event) {
        match event.kind {
            EventKind::Output { stream, bytes } => self.stream(stream, &bytes),
            EventKind::Input(bytes) => self.stream(Stream::Stdin, &bytes),
            EventKind::InputWithheld(count) => self.withheld += count,
            _ => self.rest.push(event),
        }
    }

    fn stream(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (code, all) = match stream {
            Stream::Stdin => (0, &mut self.stdin),
            Stream::Stdout => (1, &mut self.stdout),
            Stream::Stderr => (2, &mut self.stderr),
        };
        all.extend_from_slice(bytes);
        let end = all.len();
        match self.runs.last_mut() {
            Some((last, last_end)) if *last == code => *last_end = end,
            _ => self.runs.push((code, end)),
        }
    }
}

/// Makes the calls; gives what was told, and does something after each commit.
pub(super) fn perform<W: io::Write>(
    live: &mut Live<W>,
    calls: &[Call],
    is_input_kept: bool,
    mut committed: impl FnMut(&Live<W>, &Story, Result<(), RecordingError>),
) -> Story {
    let mut story = Story::default();
    let mut now = Duration::from_millis(7_000);
    for call in calls {
        let at = now - Duration::from_millis(7_000);
        let mut tell = |kind| story.tell(Event { at, kind });
        match call.clone() {
            Call::Output(stream, bytes) => {
                live.output(now, stream, &bytes);
                tell(EventKind::Output { stream, bytes });
            }
            Call::Input(bytes) => {
                live.input(now, &bytes);
                if is_input_kept {
                    tell(EventKind::Input(bytes));
                } else {
                    tell(EventKind::InputWithheld(bytes.len() as u64));
                }
            }
            Call::Resize(cols, rows) => {
                live.resize(now, cols, rows);
                tell(match (u16::try_from(cols), u16::try_from(rows)) {
                    (Ok(cols @ 1..), Ok(rows @ 1..)) => EventKind::Resize { cols, rows },
                    _ => EventKind::Request(
                        ChannelNote::new(Side::Client, "window-change")
                            .with("cols", cols)
                            .with("rows", rows),
                    ),
                });
            }
            Call::Marker(text) => {
                live.marker(now, &text);
                tell(EventKind::Marker(text));
            }
            Call::Request(note) => {
                live.request(now, &note);
                tell(EventKind::Request(note));
            }
            Call::Gap(gap) => {
                live.gap(now, &gap);
                tell(EventKind::Gap(gap));
            }
            Call::Exit(exit) => {
                live.exit(now, &exit);
                tell(EventKind::Exit(exit));
            }
            Call::Commit => {
                let result = live.commit();
                committed(live, &story, result);
            }
            Call::Idle => {
                let result = live.idle();
                committed(live, &story, result);
            }
            Call::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
        }
    }
    story
}

/// Reads a file to its end; panics on damage.
pub(super) fn read(file: &[u8]) -> (Vec<Event>, State) {
    let mut reader = Reader::open(file).unwrap();
    let events = reader.by_ref().map(Result::unwrap).collect();
    let state = reader.state().clone();
    (events, state)
}

pub(super) fn story(file: &[u8]) -> Story {
    let mut story = Story::default();
    for event in read(file).0 {
        story.tell(event);
    }
    story
}

/// A finished recording of these calls.
pub(super) fn recorded(calls: &[Call], pty: bool) -> Vec<u8> {
    let spacing = Spacing {
        recorded: u64::MAX,
        drawn: u64::MAX,
    };
    recorded_with(calls, pty, spacing)
}

/// The same with key frames.
pub(super) fn recorded_with(calls: &[Call], pty: bool, spacing: Spacing) -> Vec<u8> {
    let kind = if pty {
        SessionKind::Shell
    } else {
        SessionKind::Exec
    };
    let now = Duration::from_millis(7_000);
    let options = Options { pty_input: true };
    let mut live = Live::start(Vec::new(), &header(kind, pty), options, now).unwrap();
    live.space(spacing);
    perform(&mut live, calls, true, |_, _, result| result.unwrap());
    live.finish(Duration::from_secs(1_000_000)).unwrap().0
}
