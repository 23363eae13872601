//! Plain text, to be read and searched.
//!
//! With a PTY: what the terminal showed, scrollback included, lines joined where they were only
//! wrapped, up to 64 KiB. A screen of a full-screen program is printed as it last stood, between
//! two rules, because it leaves no trace in the scrollback. Without a PTY: standard output and
//! error as they came. What is not safe to print is written as `model::text` has it.
//!
//! A line is written as soon as it has scrolled away: what is held is the terminal model, a
//! screen of it, and one line.

use std::io::{self, Read, Write};

use avt::parser::{DecMode, Function};
use avt::{Line, Observation, Observer, Operation, ScreenKind, Terminal};

use super::super::event::EventKind;
use super::super::model::Model;
use super::super::reader::Reader;
use super::super::utf8::Utf8Decoder;
use super::error::ExportError;
use crate::model::text::Carets;

/// A line that is longer goes on in the next one, in bytes. A host can wrap for ever.
const MAX_LINE: usize = 64 << 10;
/// Around a full-screen program's last screen.
const RULE: &str = "--------------------------------";

pub(super) fn export<R: Read>(
    reader: &mut Reader<R>,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    if reader.header().pty.is_some() {
        terminal(reader, out)
    } else {
        pipe(reader, out)
    }
}

fn pipe<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> Result<(), ExportError> {
    let mut decoder = Utf8Decoder::default();
    // The first half of a line feed.
    let mut ends_in_cr = false;
    let mut put = |text: &str| {
        let whole = match ends_in_cr {
            true => format!("\r{text}"),
            false => text.to_owned(),
        };
        let shown = whole.strip_suffix('\r');
        ends_in_cr = shown.is_some();
        write!(out, "{}", Carets(shown.unwrap_or(&whole)))
    };
    for event in reader {
        if let EventKind::Output { bytes, .. } = event?.kind {
            put(&decoder.decode(&bytes))?;
        }
    }
    put(&decoder.finish())?;
    if ends_in_cr {
        write!(out, "{}", Carets("\r"))?;
    }
    Ok(())
}

fn terminal<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> Result<(), ExportError> {
    let mut model = Model::new(reader.header().size())
        .map_err(|size| io::Error::new(io::ErrorKind::InvalidData, size))?;
    let mut transcript = Transcript::new(out);
    for event in reader {
        match event?.kind {
            EventKind::Output { bytes, .. } => model.feed(&bytes, &mut transcript),
            EventKind::Resize { cols, rows } => model.resize(cols, rows),
            _ => {}
        }
        transcript.written()?;
    }
    model.finish(&mut transcript);
    transcript.screen(model.terminal());
    if model.is_alternate() {
        transcript.framed(&framed(model.terminal()));
    }
    Ok(transcript.written()?)
}

/// Writes what scrolls away, and full screens that vanish.
struct Transcript<'w, W> {
    out: &'w mut W,
    /// The beginning of a line that goes on in the next row.
    line: String,
    /// The screen of a full-screen program that may be about to leave it.
    leaving: Option<String>,
    failed: Option<io::Error>,
}

impl<'w, W: Write> Transcript<'w, W> {
    fn new(out: &'w mut W) -> Self {
        Self {
            out,
            line: String::new(),
            leaving: None,
            failed: None,
        }
    }

    /// Whether all could be written so far.
    fn written(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// A row; the line if it ends there.
    fn row(&mut self, row: &Line) -> Option<String> {
        self.line.extend(row.chars());
        if !row.is_wrapped() {
            self.line.truncate(self.line.trim_end().len());
            return Some(std::mem::take(&mut self.line));
        }
        (self.line.len() >= MAX_LINE).then(|| std::mem::take(&mut self.line))
    }

    /// The rows of the main screen, without the empty ones at its end.
    fn screen(&mut self, terminal: &Terminal) {
        let mut empty = 0;
        for row in terminal.primary_screen().all_lines() {
            match self.row(row) {
                Some(line) if line.is_empty() => empty += 1,
                Some(line) => {
                    for _ in 0..std::mem::take(&mut empty) {
                        self.put("");
                    }
                    self.put(&line);
                }
                None => {}
            }
        }
    }

    fn framed(&mut self, screen: &str) {
        self.put(RULE);
        if !screen.is_empty() {
            self.put(screen);
        }
        self.put(RULE);
    }

    fn put(&mut self, lines: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.out, "{}", Carets(lines)).err();
        }
    }
}

impl<W: Write> Observer for Transcript<'_, W> {
    type Output = ();

    fn before(&mut self, context: &mut Observation<'_>, operation: &Operation) {
        let Operation::Function(function) = operation else {
            return;
        };
        let is_reset = matches!(function, Function::Ris);
        let terminal = context.terminal();
        let is_alternate = terminal.active_screen_kind() == ScreenKind::Alternate;
        if is_alternate && (is_reset || leaves(function)) {
            self.leaving = Some(framed(terminal));
        }
        if is_reset {
            self.screen(terminal);
        }
    }

    fn evicted(&mut self, _context: &mut Observation<'_>, row: &Line) {
        if let Some(line) = self.row(row) {
            self.put(&line);
        }
    }

    fn end(&mut self, _context: &mut Observation<'_>) {
        if let Some(screen) = self.leaving.take() {
            self.framed(&screen);
        }
    }
}

/// Whether a function takes a terminal back to its main screen.
fn leaves(function: &Function) -> bool {
    let is_screen = |mode: &DecMode| {
        matches!(
            mode,
            DecMode::AltScreenBuffer | DecMode::SaveCursorAltScreenBuffer
        )
    };
    matches!(function, Function::Decrst(modes) if modes.as_slice().iter().any(is_screen))
}

/// The screen as it stands, without the empty lines at its end.
fn framed(terminal: &Terminal) -> String {
    let lines = terminal.screen().text();
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n").trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Stream;
    use super::super::super::tests::{Call, calls, recorded};
    use super::super::tests::{exported, stdout};
    use super::super::{Format, export};
    use super::*;
    use crate::model::text::is_unsafe;

    fn text(calls: &[Call], pty: bool) -> String {
        String::from_utf8(exported(calls, pty, Format::Text)).unwrap()
    }

    #[test]
    fn a_terminal_shows_what_it_showed() {
        let mut calls: Vec<Call> = (0..100)
            .map(|n| stdout(format!("line {n}\r\n").as_bytes()))
            .collect();
        calls.push(stdout(b"\x1b[31mr\x1b[0med\rR \xe2\x82\xac\r\n$ "));
        let expected: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(text(&calls, true), format!("{expected}R €\n$\n"));
    }

    #[test]
    fn a_full_screen_program_leaves_its_last_screen() {
        let calls = [
            stdout(b"$ vi\r\n\x1b[?1049h\x1b[Hsecret plan\x1b[?25h\x1b[?25l"),
            Call::Commit,
            stdout(b"\x1b[?1049l$ exit\r\n"),
        ];
        let rule = RULE;
        let shown = text(&calls, true);
        assert!(
            shown.contains(&format!("{rule}\nsecret plan\n{rule}\n")),
            "{shown}"
        );
        assert_eq!(shown.matches("secret plan").count(), 1);
        assert!(shown.contains("$ exit"));
    }

    #[test]
    fn pipes_are_printed_safely() {
        let calls = [
            stdout(b"a\r\nb\x1b]0;x\x07\n"),
            Call::Output(Stream::Stderr, b"err\n".to_vec()),
        ];
        assert_eq!(text(&calls, false), "a\nb^[]0;x^G\nerr\n");
    }

    #[test]
    fn huge_terminals_and_storms_of_resizes_are_survived() {
        let mut calls = vec![Call::Resize(65_535, 65_535), stdout(b"x")];
        for n in 0..500 {
            calls.push(Call::Resize(1 + n % 7, 1 + n % 3));
        }
        calls.push(stdout(b"y"));
        calls.push(Call::Resize(1, 1));
        calls.push(stdout("z😀".as_bytes()));
        assert!(text(&calls, true).contains('x'));
    }

    /// Counts what is written, and holds none of it.
    #[derive(Default)]
    struct Counted {
        bytes: usize,
        longest_line: usize,
        line: usize,
    }

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes += bytes.len();
            for byte in bytes {
                self.line = if *byte == b'\n' { 0 } else { self.line + 1 };
                self.longest_line = self.longest_line.max(self.line);
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counted(calls: &[Call]) -> Counted {
        let file = recorded(calls, true);
        let mut out = Counted::default();
        let mut reader = Reader::open(file.as_slice()).unwrap();
        export(&mut reader, Format::Text, &mut out).unwrap();
        out
    }

    /// 32 kB of each sequence that asks for much: the text stays within a line for each of them,
    /// and no line is longer than a line may be.
    #[test]
    fn no_sequence_becomes_a_flood() {
        const RECORDED: usize = 32 << 10;
        for sequence in [
            "\x1b[65535b",
            "x\x1b[65535b",
            "\x1b#8\x1b[2J",
            "\x1b#8\x1b[999S",
            "\x1b#8\x1bc",
            "\x1b[?1049h\x1b#8\x1b[?1049l",
            "\x1b[65535@\x1b[65535L\x1b[65535M\x1b[65535P\x1b[65535X",
            "\x1b[65535S",
            "\x1b[65535T",
            "\x1b[65535I\x1b[65535Z",
            "\x1b[999;999Hx\x1b[2J",
            "\x1b[8;9999;9999tx",
        ] {
            let times = RECORDED / sequence.len();
            let out = counted(&[stdout(format!("A{}", sequence.repeat(times)).as_bytes())]);
            // The tests' terminal has 120 columns and 40 rows.
            assert!(
                out.bytes <= times * 3 * 120 + 5000,
                "{sequence:?}: {}",
                out.bytes
            );
            assert!(out.longest_line < MAX_LINE + 120 * 4, "{sequence:?}");
        }
    }

    #[test]
    fn a_line_that_wraps_for_ever_is_broken() {
        let calls = [stdout(&vec![b'x'; 3 * MAX_LINE]), stdout(b"\r\n$ ")];
        let text = text(&calls, true);
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        let broken = MAX_LINE.next_multiple_of(120);
        assert_eq!(lines, [broken, broken, 3 * MAX_LINE - 2 * broken, 1]);
    }

    #[test]
    fn a_full_screen_that_changes_its_modes_is_written_once() {
        let calls = [stdout(
            b"\x1b[?1049hplan\x1b[?25l\x1b[?1l\x1b[?1;1049l\x1b[?1049hnext\x1bc",
        )];
        let shown = text(&calls, true);
        for screen in ["plan", "next"] {
            assert_eq!(shown.matches(screen).count(), 1, "{shown}");
        }
        assert_eq!(shown.matches(RULE).count(), 4, "{shown}");
    }

    #[test]
    fn a_line_feed_in_two_halves_is_one() {
        assert_eq!(
            text(&[stdout(b"a\r"), stdout(b"\nb\rc\r")], false),
            "a\nb^Mc^M"
        );
        assert_eq!(
            text(&[stdout("a\u{202e}b\u{9b}".as_bytes())], false),
            "a\\u{202e}b\\u{9b}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_recording_has_a_printable_text(calls in calls(), pty: bool) {
            let text = text(&calls, pty);
            prop_assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !is_unsafe(c)));
        }
    }
}
