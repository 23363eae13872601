//! Event lines: `[INTERVAL,CODE,DATA]` (`FORMAT.md`, section 3).

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::event::{EventKind, ExitNote, Stream};

/// Longest line, LF included.
pub(super) const MAX_LINE: usize = 4 << 20;
/// Longest interval that a reader accepts, in seconds.
const MAX_INTERVAL: f64 = 1e9;

pub(super) const OUTPUT: char = 'o';
pub(super) const ERROR_OUTPUT: char = 'e';
pub(super) const INPUT: char = 'i';
pub(super) const INPUT_WITHHELD: char = 'w';
pub(super) const BLOB: char = 'b';
pub(super) const PARTICIPANT_INPUT: char = 'j';
pub(super) const RESIZE: char = 'r';
pub(super) const MARKER: char = 'm';
pub(super) const REQUEST: char = 'q';
pub(super) const GAP: char = 'g';
pub(super) const EXIT_STATUS: char = 'x';
pub(super) const NO_EXIT_STATUS: char = 'k';

/// Appends one line.
pub(super) fn push(lines: &mut Vec<u8>, interval_ms: u64, code: char, data: &str) {
    let (seconds, milliseconds) = (interval_ms / 1000, interval_ms % 1000);
    // Writing to a Vec cannot fail, and a string always has a JSON form.
    let _infallible = write!(lines, "[{seconds}.{milliseconds:03},\"{code}\",");
    let _infallible = serde_json::to_writer(&mut *lines, data);
    lines.extend_from_slice(b"]\n");
}

/// The size in the data of an `r` line.
pub(super) fn size(data: &str) -> Option<(u16, u16)> {
    let (cols, rows) = data.split_once('x')?;
    let size = (cols.parse().ok()?, rows.parse().ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// A reference to a blob: the data of a `b` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlobRef {
    pub(super) stream: Stream,
    pub(super) number: u64,
    pub(super) length: u32,
}

impl BlobRef {
    pub(super) fn to_data(self) -> String {
        format!("{} {} {}", self.stream.as_str(), self.number, self.length)
    }

    fn from_data(data: &str) -> Option<Self> {
        let mut words = data.split(' ');
        let stream = match words.next()? {
            "stdin" => Stream::Stdin,
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            _ => return None,
        };
        let number = words.next()?.parse().ok()?;
        let length = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self {
            stream,
            number,
            length,
        })
    }
}

/// A line that was understood.
#[derive(Debug, PartialEq)]
pub(super) struct RecordedLine {
    pub(super) interval: Duration,
    pub(super) content: LineContent,
}

/// An event, or where to find it.
#[derive(Debug, PartialEq)]
pub(super) enum LineContent {
    Event(EventKind),
    Blob(BlobRef),
}

/// Reads one line, without its LF. `None` when it is not an event line.
pub(super) fn parse(line: &[u8]) -> Option<RecordedLine> {
    let (interval, code, data) = serde_json::from_slice::<(f64, char, String)>(line).ok()?;
    if !(0.0..=MAX_INTERVAL).contains(&interval) {
        return None;
    }
    // Other writers may use more digits; ours are exact in milliseconds.
    let interval = to_milliseconds(Duration::from_secs_f64(interval))?;
    let content = match code {
        BLOB => LineContent::Blob(BlobRef::from_data(&data)?),
        _ => LineContent::Event(event(code, data)?),
    };
    Some(RecordedLine { interval, content })
}

fn to_milliseconds(interval: Duration) -> Option<Duration> {
    let milliseconds = (interval.as_nanos() + 500_000) / 1_000_000;
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// Code and data of an event that carries no bytes of a stream. `None` for one that does.
pub(super) fn plain(event: &EventKind) -> Option<(char, String)> {
    Some(match event {
        EventKind::Output { .. } | EventKind::Input(_) => return None,
        EventKind::InputWithheld(count) => (INPUT_WITHHELD, count.to_string()),
        EventKind::ParticipantInput(input) => (PARTICIPANT_INPUT, json(input)),
        EventKind::Resize { cols, rows } => (RESIZE, format!("{cols}x{rows}")),
        EventKind::Marker(text) => (MARKER, text.clone()),
        EventKind::Request(note) => (REQUEST, json(note)),
        EventKind::Gap(gap) => (GAP, json(gap)),
        EventKind::Exit(ExitNote::Status(status)) => (EXIT_STATUS, status.to_string()),
        EventKind::Exit(exit) => (NO_EXIT_STATUS, json(exit)),
        EventKind::Other { code, data } => (*code, data.clone()),
    })
}

/// A note as JSON.
pub(super) fn json(note: &impl Serialize) -> String {
    // Notes are maps with string keys: they always have a JSON form.
    serde_json::to_string(note).unwrap_or_default()
}

fn event(code: char, data: String) -> Option<EventKind> {
    Some(match code {
        OUTPUT => EventKind::Output {
            stream: Stream::Stdout,
            bytes: data.into_bytes(),
        },
        ERROR_OUTPUT => EventKind::Output {
            stream: Stream::Stderr,
            bytes: data.into_bytes(),
        },
        INPUT => EventKind::Input(data.into_bytes()),
        INPUT_WITHHELD => EventKind::InputWithheld(data.parse().ok()?),
        PARTICIPANT_INPUT => EventKind::ParticipantInput(serde_json::from_str(&data).ok()?),
        RESIZE => {
            let (cols, rows) = size(&data)?;
            EventKind::Resize { cols, rows }
        }
        MARKER => EventKind::Marker(data),
        REQUEST => EventKind::Request(serde_json::from_str(&data).ok()?),
        GAP => EventKind::Gap(serde_json::from_str(&data).ok()?),
        EXIT_STATUS => EventKind::Exit(ExitNote::Status(data.parse().ok()?)),
        NO_EXIT_STATUS => match serde_json::from_str(&data).ok()? {
            ExitNote::Status(_) => return None,
            exit => EventKind::Exit(exit),
        },
        code => EventKind::Other { code, data },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_plain_decimals() {
        let mut lines = Vec::new();
        push(&mut lines, 5, 'o', "a\"\u{1b}é");
        push(&mut lines, 61_250, 'x', "0");
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "[0.005,\"o\",\"a\\\"\\u001bé\"]\n[61.250,\"x\",\"0\"]\n"
        );
    }

    #[test]
    fn nonsense_is_no_line() {
        for bad in [
            "",
            "[]",
            "[0,\"o\"]",
            "[0,\"oo\",\"\"]",
            "[-1,\"o\",\"\"]",
            "[1e10,\"o\",\"\"]",
            "[0,\"o\",{}]",
            "[0,\"r\",\"80\"]",
            "[0,\"r\",\"0x5\"]",
            "[0,\"r\",\"80x99999\"]",
            "[0,\"b\",\"stdout 1\"]",
            "[0,\"b\",\"stdout 1 2 3\"]",
            "[0,\"b\",\"tty 1 2\"]",
            "[0,\"w\",\"many\"]",
            "[0,\"x\",\"-1\"]",
            "[0,\"k\",\"{\\\"status\\\":0}\"]",
            "[0,\"o\",\"\"] x",
            "{}",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn unknown_codes_are_kept() {
        let line = parse(b"[0.5,\"z\",\"new\"]").unwrap();
        assert_eq!(line.interval, Duration::from_millis(500));
        let other = EventKind::Other {
            code: 'z',
            data: "new".to_owned(),
        };
        assert_eq!(line.content, LineContent::Event(other));
    }

    proptest! {
        #[test]
        fn intervals_and_text_come_back(ms in 0..1_000_000_000_000u64, text: String) {
            let mut lines = Vec::new();
            push(&mut lines, ms, MARKER, &text);
            let line = parse(lines.strip_suffix(b"\n").unwrap()).unwrap();
            prop_assert_eq!(line.interval, Duration::from_millis(ms));
            prop_assert_eq!(line.content, LineContent::Event(EventKind::Marker(text)));
        }

        #[test]
        fn any_bytes_are_a_line_or_not(bytes: Vec<u8>) {
            let _either = parse(&bytes);
        }
    }
}
