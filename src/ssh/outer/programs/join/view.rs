//! What a participant's terminal gets: the session's output, as far as it is harmless.

use crate::model::text::Printable;
use crate::recording::ScreenSnapshot;
use crate::recording::sanitizer::Sanitizer;
use crate::session::ViewPiece;

/// A session on a terminal of this size.
#[derive(Debug)]
pub(super) struct View {
    /// Columns and rows of the terminal, where it has said them.
    terminal: Option<(u32, u32)>,
    /// Those of the session that the participant was last told of, because they do not fit.
    told: Option<(u16, u16)>,
    neutral: Sanitizer,
}

impl View {
    /// Nothing is shown yet.
    pub(super) fn new(terminal: Option<(u32, u32)>) -> Self {
        Self {
            terminal,
            told: None,
            neutral: Sanitizer::new(),
        }
    }

    /// What the participant has to know before this screen is shown: once for each size that does not
    /// fit.
    pub(super) fn warning(&mut self, screen: &ScreenSnapshot) -> Option<String> {
        let (cols, rows) = self.terminal?;
        let fits = u32::from(screen.cols) <= cols && u32::from(screen.rows) <= rows;
        let size = (screen.cols, screen.rows);
        if fits || self.told == Some(size) {
            return None;
        }
        self.told = Some(size);
        Some(format!(
            "the session's terminal is {}x{}, larger than yours ({cols}x{rows}): what does not fit is \
             shown in the wrong place\r\n",
            screen.cols, screen.rows
        ))
    }

    /// Adds to `out` what the terminal gets.
    pub(super) fn show(&mut self, shown: &ViewPiece, out: &mut Vec<u8>) {
        match shown {
            ViewPiece::Screen(screen) => {
                self.neutral.reset(out);
                out.extend_from_slice(b"\x1b[H\x1b[2J");
                let rows = match self.terminal {
                    Some((_, rows)) => screen.rows.min(u16::try_from(rows).unwrap_or(u16::MAX)),
                    None => screen.rows,
                };
                self.neutral.confine(rows, out);
                self.neutral.feed(&screen.bytes, out);
            }
            ViewPiece::Output(bytes) => self.neutral.feed(bytes, out),
            ViewPiece::Notice(text) => {
                out.extend_from_slice(format!("\r\nrproxy: {}\r\n", Printable(text)).as_bytes());
            }
            ViewPiece::End => {}
        }
    }

    /// Adds to `out` what puts the terminal back into its normal state, and a line below the session.
    pub(super) fn close(&mut self, line: &str, out: &mut Vec<u8>) {
        self.neutral.reset(out);
        out.extend_from_slice(format!("\r\nrproxy: {}\r\n", Printable(line)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recording::Screen;

    const SIZE: (u16, u16) = (20, 4);

    fn snapshot(bytes: &[u8]) -> ViewPiece {
        let mut screen = Screen::new(SIZE);
        screen.feed(bytes);
        ViewPiece::Screen(ScreenSnapshot {
            cols: SIZE.0,
            rows: SIZE.1,
            bytes: screen.dump(),
        })
    }

    /// What a terminal of the session's size shows that gets these.
    fn terminal(view: &mut View, all: &[ViewPiece]) -> Vec<String> {
        let mut out = Vec::new();
        for shown in all {
            view.show(shown, &mut out);
        }
        rows(&out)
    }

    fn rows(bytes: &[u8]) -> Vec<String> {
        let (cols, rows) = (usize::from(SIZE.0), usize::from(SIZE.1));
        let mut terminal = avt::Terminal::new(cols, rows).unwrap();
        terminal.feed(String::from_utf8_lossy(bytes).as_ref());
        let rows = terminal.screen().text();
        rows.iter().map(|row| row.trim_end().to_owned()).collect()
    }

    fn output(bytes: &[u8]) -> ViewPiece {
        ViewPiece::Output(bytes.to_vec().into())
    }

    #[test]
    fn a_screen_takes_the_place_of_everything_before() {
        let mut view = View::new(Some((20, 4)));
        let all = [
            snapshot(b"\x1b[?1049hvim\x1b[2;3r\x1b[4h\x1b[31m"),
            output(b"\x1b[?25l\x1b(0qqq"),
            snapshot(b"one\r\ntwo"),
            output(b"!"),
        ];
        assert_eq!(terminal(&mut view, &all), ["one", "two!", "", ""]);
    }

    #[test]
    fn nothing_that_acts_beyond_the_screen_passes() {
        for hostile in [
            "\x1b]52;c;cm0=\x07",
            "\x1b[c\x1b[>c\x1b[=c\x1b[6n\x1b[?6n\x1b[5n\x1b[18t\x1b[21t",
            "\x1bP$qm\x1b\\\x1bP+q544e\x1b\\",
            "\x1b]0;title\x07\x1b]8;;http://x\x07y\x1b]8;;\x07",
            "\x1b[?1000h\x1b[?2004h\x1b[?1h\x1b=\x05",
        ] {
            let mut view = View::new(None);
            let mut out = Vec::new();
            view.show(&snapshot(hostile.as_bytes()), &mut out);
            view.show(&output(hostile.as_bytes()), &mut out);
            let text = String::from_utf8(out).unwrap();
            for asks in [
                "\x1b]", "\x1bP", "c", "n", "t", "?1000", "?2004", "?1h", "\x05",
            ] {
                let found = text.replace("\x1b[2J", "").contains(asks);
                assert!(!found, "{asks:?} of {hostile:?} in {text:?}");
            }
        }
    }

    #[test]
    fn a_larger_session_is_told_once_for_each_size() {
        let mut view = View::new(Some((80, 24)));
        let screen = |cols, rows| ScreenSnapshot {
            cols,
            rows,
            bytes: Vec::new(),
        };
        assert_eq!(view.warning(&screen(80, 24)), None);
        let told = view.warning(&screen(120, 24)).unwrap();
        assert!(told.contains("120x24") && told.contains("80x24"), "{told}");
        assert_eq!(view.warning(&screen(120, 24)), None);
        assert!(view.warning(&screen(80, 25)).is_some());
        assert_eq!(View::new(None).warning(&screen(999, 999)), None);
    }

    #[test]
    fn names_do_not_act_on_the_terminal() {
        let mut out = Vec::new();
        View::new(None).show(&ViewPiece::Notice("\x1b[2Jbob joined".to_owned()), &mut out);
        assert_eq!(out, b"\r\nrproxy: \\u{1b}[2Jbob joined\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Wherever a participant begins, and however output is cut, the terminal shows what that of a
        /// replay shows.
        #[test]
        fn a_screen_and_what_follows_is_the_screen(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[ -~]{0,12}",
                    "\r\n",
                    "\x1b\\[[0-9]{0,2}(;[0-9]{0,2})?[ABCDHJKLMPXm]",
                    // With two numbers, the filter takes them for another sequence, and drops them.
                    "\x1b\\[[0-9]{0,2}[ST]",
                    "\x1b\\[\\?(25|7)[hl]",
                    // In pairs: the filter drops what leaves another screen that nobody has entered.
                    "\x1b\\[\\?1049h[ -~]{0,8}\x1b\\[\\?1049l",
                    "\x1b[78DM]",
                ],
                1..20,
            ),
            at: prop::sample::Index,
        ) {
            let all = parts.concat().into_bytes();
            let (past, rest) = all.split_at(at.index(all.len() + 1));
            let mut whole = Vec::new();
            Sanitizer::new().feed(&all, &mut whole);
            let mut view = View::new(Some((SIZE.0.into(), SIZE.1.into())));
            let pieces: Vec<ViewPiece> = rest.chunks(3).map(output).collect();
            let shown = [vec![snapshot(past)], pieces].concat();
            prop_assert_eq!(terminal(&mut view, &shown), rows(&whole));
        }
    }
}
