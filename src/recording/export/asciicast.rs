//! Plain asciicast v3, for players that know nothing of blobs.
//!
//! Blobs of output become `o` events, with U+FFFD for what is not UTF-8, and standard error is
//! output like any other. Without a PTY a line feed becomes CR LF, as the user's terminal showed
//! it; what was piped into the command is left out. Other events stay as they are.

use std::io::{Read, Write};
use std::time::Duration;

use super::super::event::{Event, EventKind, Stream};
use super::super::lines;
use super::super::reader::Reader;
use super::super::utf8::Utf8Decoder;
use super::error::ExportError;

pub(super) fn export<R: Read>(
    reader: &mut Reader<R>,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    out.write_all(&reader.header().to_line()?)?;
    let mut cast = Cast::new(reader.header().pty.is_some());
    for event in reader {
        out.write_all(cast.event(&event?))?;
    }
    out.write_all(cast.finish())?;
    Ok(())
}

struct Cast {
    has_pty: bool,
    lines: Vec<u8>,
    last: Duration,
    stdout: Utf8Decoder,
    stderr: Utf8Decoder,
    stdin: Utf8Decoder,
    ends_in_cr: bool,
}

impl Cast {
    fn new(has_pty: bool) -> Self {
        Self {
            has_pty,
            lines: Vec::new(),
            last: Duration::ZERO,
            stdout: Utf8Decoder::default(),
            stderr: Utf8Decoder::default(),
            stdin: Utf8Decoder::default(),
            ends_in_cr: false,
        }
    }

    /// The lines of one event.
    fn event(&mut self, event: &Event) -> &[u8] {
        self.lines.clear();
        match &event.kind {
            EventKind::Output { stream, bytes } => {
                let decoder = match stream {
                    Stream::Stderr => &mut self.stderr,
                    Stream::Stdin | Stream::Stdout => &mut self.stdout,
                };
                let text = decoder.decode(bytes);
                self.output(event.at, &text);
            }
            EventKind::Input(bytes) if self.has_pty => {
                let text = self.stdin.decode(bytes);
                self.line(event.at, lines::INPUT, &text);
            }
            EventKind::Input(_) => {}
            kind => {
                if let Some((code, data)) = lines::plain(kind) {
                    self.push(event.at, code, &data);
                }
            }
        }
        &self.lines
    }

    /// Characters that never became complete.
    fn finish(&mut self) -> &[u8] {
        self.lines.clear();
        for rest in [self.stdout.finish(), self.stderr.finish()] {
            self.output(self.last, &rest);
        }
        &self.lines
    }

    fn output(&mut self, at: Duration, text: &str) {
        if self.has_pty {
            self.line(at, lines::OUTPUT, text);
            return;
        }
        let mut shown = String::with_capacity(text.len());
        for character in text.chars() {
            if character == '\n' && !self.ends_in_cr {
                shown.push('\r');
            }
            shown.push(character);
            self.ends_in_cr = character == '\r';
        }
        self.line(at, lines::OUTPUT, &shown);
    }

    fn line(&mut self, at: Duration, code: char, text: &str) {
        if !text.is_empty() {
            self.push(at, code, text);
        }
    }

    fn push(&mut self, at: Duration, code: char, data: &str) {
        let interval = at.saturating_sub(self.last).as_millis();
        self.last = self.last.max(at);
        let interval = u64::try_from(interval).unwrap_or(u64::MAX);
        lines::push(&mut self.lines, interval, code, data);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::Call;
    use super::super::super::{ChannelNote, ExitNote, Side};
    use super::super::Format;
    use super::super::tests::{exported, stdout};
    use super::*;

    fn events(calls: &[Call], pty: bool) -> Vec<(f64, char, String)> {
        let cast = String::from_utf8(exported(calls, pty, Format::Asciicast)).unwrap();
        let (header, events) = cast.split_once('\n').unwrap();
        let header: serde_json::Value = serde_json::from_str(header).unwrap();
        assert_eq!(header["version"], 3);
        events
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn blobs_become_output_and_lines_end_as_on_a_terminal() {
        let calls = [
            stdout(b"a\nb\r\nc\xff\xf0\x9f"),
            Call::Wait(500),
            Call::Input(b"secret".to_vec()),
            stdout(b"\x98\x80"),
            Call::Output(Stream::Stderr, b"oops".to_vec()),
            Call::Exit(ExitNote::Status(3)),
        ];
        let expected = [
            (0.0, 'o', "a\r\nb\r\nc\u{fffd}"),
            (0.5, 'o', "😀"),
            (0.0, 'o', "oops"),
            (0.0, 'x', "3"),
        ];
        let expected = expected.map(|(at, code, data)| (at, code, data.to_owned()));
        assert_eq!(events(&calls, false), expected);
    }

    #[test]
    fn a_pty_keeps_its_line_feeds_and_its_requests() {
        let calls = [
            stdout(b"a\nb\xc3"),
            Call::Resize(90, 20),
            Call::Request(ChannelNote::new(Side::Client, "signal").with("name", "INT")),
        ];
        let told = events(&calls, true);
        assert_eq!(told[0], (0.0, 'o', "a\nb".to_owned()));
        assert_eq!(told[1], (0.0, 'r', "90x20".to_owned()));
        assert_eq!(told[2].1, 'q');
        assert_eq!(told[3], (0.0, 'o', "\u{fffd}".to_owned()));
    }
}
