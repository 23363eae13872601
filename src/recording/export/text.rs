//! Plain text, to be read and searched.
//!
//! With a PTY: what the terminal showed, scrollback included, lines joined where they were only
//! wrapped. A screen of a full-screen program is printed as it last stood, between two rules,
//! because it leaves no trace in the scrollback. Without a PTY: standard output and error as they
//! came. Control characters are written as `^X`, so that the text is safe to print.

use std::io::{self, Read, Write};

use avt::observer::Transcript;
use avt::parser::Function;
use avt::{Observation, Observer, Operation, ScreenKind, Terminal};

use super::super::event::EventKind;
use super::super::lossy::Decoder;
use super::super::reader::Reader;
use super::ExportError;

/// Terminals larger than this exist only to exhaust memory.
const MAX_SIDE: u16 = 1000;
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
    let mut decoder = Decoder::default();
    for event in reader {
        if let EventKind::Output { bytes, .. } = event?.kind {
            out.write_all(printable(&decoder.decode(&bytes)).as_bytes())?;
        }
    }
    out.write_all(printable(&decoder.finish()).as_bytes())?;
    Ok(())
}

fn terminal<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> Result<(), ExportError> {
    let (cols, rows) = reader.header().size();
    let mut terminal = Terminal::with_scrollback(side(cols), side(rows), Some(0))
        .map_err(|size| io::Error::new(io::ErrorKind::InvalidData, size))?;
    let mut watch = Watch::default();
    let mut decoder = Decoder::default();
    // A storm of resizes with nothing shown between them is one resize.
    let mut resized = None;
    for event in reader {
        match event?.kind {
            EventKind::Output { bytes, .. } => {
                if let Some((cols, rows)) = resized.take() {
                    let lines = terminal.resize_with(side(cols), side(rows), &mut watch);
                    put(out, &lines)?;
                }
                let text = decoder.decode(&bytes);
                put(out, &terminal.feed_with(text.as_str(), &mut watch))?;
            }
            EventKind::Resize { cols, rows } => resized = Some((cols, rows)),
            _ => {}
        }
    }
    put(
        out,
        &terminal.feed_with(decoder.finish().as_str(), &mut watch),
    )?;
    let mut rest = Vec::new();
    if terminal.active_screen_kind() == ScreenKind::Alternate {
        rest = framed(&terminal);
    }
    rest.splice(0..0, watch.transcript.finish(&terminal));
    put(out, &rest)
}

fn side(size: u16) -> usize {
    usize::from(size.clamp(1, MAX_SIDE))
}

fn put(out: &mut impl Write, lines: &[String]) -> Result<(), ExportError> {
    for line in lines {
        writeln!(out, "{}", printable(line))?;
    }
    Ok(())
}

/// Collects what scrolls away, and full screens that are about to vanish.
#[derive(Default)]
struct Watch {
    transcript: Transcript,
    screens: Vec<String>,
}

impl Observer for &mut Watch {
    type Output = Vec<String>;

    fn before(&mut self, context: &mut Observation<'_>, operation: &Operation) {
        let terminal = context.terminal();
        let is_leaving = terminal.active_screen_kind() == ScreenKind::Alternate
            && matches!(
                operation,
                Operation::Function(Function::Decrst(_) | Function::Ris)
            );
        if is_leaving {
            self.screens = framed(terminal);
        }
        Observer::before(&mut &mut self.transcript, context, operation);
    }

    fn after(&mut self, context: &mut Observation<'_>, operation: &Operation) {
        if context.terminal().active_screen_kind() == ScreenKind::Alternate {
            // Another mode was reset: the screen stays.
            self.screens.clear();
        }
        Observer::after(&mut &mut self.transcript, context, operation);
    }

    fn evicted(&mut self, context: &mut Observation<'_>, line: &avt::Line) {
        Observer::evicted(&mut &mut self.transcript, context, line);
    }

    fn end(&mut self, context: &mut Observation<'_>) -> Vec<String> {
        let mut lines = Observer::end(&mut &mut self.transcript, context);
        lines.append(&mut self.screens);
        lines
    }
}

/// The screen as it stands, without the empty lines at its end, between two rules.
fn framed(terminal: &Terminal) -> Vec<String> {
    let mut lines = terminal.screen().text();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    let rule = || std::iter::once(RULE.to_owned());
    let lines = lines.into_iter().map(|line| line.trim_end().to_owned());
    rule().chain(lines).chain(rule()).collect()
}

/// Control characters as `^X`, but for tab and line feed; CR LF is a line feed.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => shown.push(character),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\0'..='\x1f' | '\x7f' => {
                shown.push('^');
                // Control characters are 0x40 away from what stands on their key.
                shown.push(char::from_u32(u32::from(character) ^ 0x40).unwrap_or('?'));
            }
            _ if character.is_control() => shown.push(char::REPLACEMENT_CHARACTER),
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Stream;
    use super::super::super::tests::{Call, calls};
    use super::super::Format;
    use super::super::tests::{exported, stdout};

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
        let rule = super::RULE;
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_recording_has_a_printable_text(calls in calls(), pty: bool) {
            let text = text(&calls, pty);
            prop_assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
        }
    }
}
