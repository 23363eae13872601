//! A line that a user types at a terminal in raw mode: the echo, and the keys that correct it.
//!
//! Has no stream: typed bytes are passed in, and what the terminal has to show is returned.

use zeroize::Zeroizing;

use crate::ipc::SecretText;
use crate::model::text::is_unsafe;

/// Longest line, in bytes.
pub(super) const MAX_LINE: usize = 1024;

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const KILL_WORD: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;
/// Takes one character off the screen.
const RUB_OUT: &[u8] = b"\x08 \x08";

/// What a typed byte has led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineProgress {
    /// The line goes on.
    Unfinished,
    /// The line is finished.
    Line(SecretText),
    /// The line is finished, and is not usable: too long, or not UTF-8.
    Unusable,
    /// The user has interrupted the program (Ctrl-C), or ended the input (Ctrl-D).
    Interrupted,
}

/// How far an escape sequence of a key has come. Such keys do nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    None,
    Begun,
    /// A control sequence (ECMA-48 section 5.4) lasts until its final byte.
    Control,
}

/// Edits one line after the other.
#[derive(Debug)]
pub(super) struct LineEditor {
    line: Zeroizing<Vec<u8>>,
    shows: bool,
    is_too_long: bool,
    sequence: Sequence,
    /// The last byte was CR: a LF after it belongs to the same key.
    after_return: bool,
}

impl LineEditor {
    /// An empty line.
    pub(super) fn new() -> Self {
        Self {
            // As long as it can become: a longer buffer would leave copies of a secret behind.
            line: Zeroizing::new(Vec::with_capacity(MAX_LINE)),
            shows: false,
            is_too_long: false,
            sequence: Sequence::None,
            after_return: false,
        }
    }

    /// Begins a line, whose characters are shown or not.
    pub(super) fn begin(&mut self, shows: bool) {
        self.line.clear();
        self.shows = shows;
        self.is_too_long = false;
    }

    /// Takes one typed byte, and adds what the terminal has to show to `screen`.
    pub(super) fn on_byte(&mut self, byte: u8, screen: &mut Vec<u8>) -> LineProgress {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match (self.sequence, byte) {
            (Sequence::Begun, b'[' | b'O') => self.sequence = Sequence::Control,
            (Sequence::Begun, _) | (Sequence::Control, 0x40..=0x7e) => {
                self.sequence = Sequence::None;
            }
            (Sequence::Control, 0x20..=0x3f) => {}
            (_, ESCAPE) => self.sequence = Sequence::Begun,
            (_, b'\n') if after_return => {}
            (_, b'\r' | b'\n') => return self.finish(screen),
            (_, INTERRUPT) => return LineProgress::Interrupted,
            (_, END_OF_INPUT) if self.line.is_empty() => return LineProgress::Interrupted,
            (_, BACKSPACE | DELETE) => self.rub_out(screen),
            (_, KILL_LINE) => while self.rub_out_one(screen) {},
            (_, KILL_WORD) => self.rub_out_word(screen),
            (_, 0x00..=0x1f) => self.sequence = Sequence::None,
            (_, other) => self.add(other, screen),
        }
        LineProgress::Unfinished
    }

    fn add(&mut self, byte: u8, screen: &mut Vec<u8>) {
        if self.line.len() >= MAX_LINE {
            self.is_too_long = true;
            return;
        }
        self.line.push(byte);
        if !self.shows {
            return;
        }
        // A character is shown when its last byte is here.
        let start = self.last_character();
        let last = self.line.get(start..).unwrap_or_default();
        if let Ok(text) = std::str::from_utf8(last)
            && !text.contains(is_unsafe)
        {
            screen.extend_from_slice(text.as_bytes());
        }
    }

    /// Where the last character of the line begins.
    fn last_character(&self) -> usize {
        let is_start = |byte: &u8| byte & 0xc0 != 0x80;
        self.line.iter().rposition(is_start).unwrap_or_default()
    }

    fn rub_out(&mut self, screen: &mut Vec<u8>) {
        self.rub_out_one(screen);
    }

    /// Takes the last character away; whether there was one.
    fn rub_out_one(&mut self, screen: &mut Vec<u8>) -> bool {
        if self.line.is_empty() {
            return false;
        }
        let start = self.last_character();
        let last = self.line.get(start..).unwrap_or_default();
        let is_shown = std::str::from_utf8(last).is_ok_and(|text| !text.contains(is_unsafe));
        self.line.truncate(start);
        if self.shows && is_shown {
            screen.extend_from_slice(RUB_OUT);
        }
        true
    }

    fn rub_out_word(&mut self, screen: &mut Vec<u8>) {
        let is_blank = |line: &[u8]| line.last() == Some(&b' ');
        while is_blank(&self.line) && self.rub_out_one(screen) {}
        while !is_blank(&self.line) && self.rub_out_one(screen) {}
    }

    fn finish(&mut self, screen: &mut Vec<u8>) -> LineProgress {
        screen.extend_from_slice(b"\r\n");
        let typed = match std::str::from_utf8(&self.line) {
            Ok(text) if !self.is_too_long => LineProgress::Line(SecretText::new(text.to_owned())),
            _ => LineProgress::Unusable,
        };
        self.begin(self.shows);
        typed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of these keys, and what the terminal shows.
    fn typed(keys: &[u8], shows: bool) -> (Vec<LineProgress>, String) {
        let mut editor = LineEditor::new();
        editor.begin(shows);
        let mut screen = Vec::new();
        let typed = keys
            .iter()
            .map(|key| editor.on_byte(*key, &mut screen))
            .filter(|typed| *typed != LineProgress::Unfinished)
            .collect();
        (typed, String::from_utf8(screen).unwrap())
    }

    fn line(text: &str) -> LineProgress {
        LineProgress::Line(SecretText::new(text.to_owned()))
    }

    #[test]
    fn a_line_is_shown_while_it_is_typed_and_a_secret_is_not() {
        let keys = "d\u{e9}ploy\r".as_bytes();
        assert_eq!(
            typed(keys, true),
            (vec![line("d\u{e9}ploy")], "d\u{e9}ploy\r\n".to_owned())
        );
        assert_eq!(
            typed(keys, false),
            (vec![line("d\u{e9}ploy")], "\r\n".to_owned())
        );
        // Keys that end a line: one each.
        for keys in ["a\rb\r", "a\nb\n", "a\r\nb\r\n"] {
            assert_eq!(typed(keys.as_bytes(), false).0, [line("a"), line("b")]);
        }
        assert_eq!(typed(b"\r", true).0, [line("")]);
    }

    #[test]
    fn what_is_corrected_is_gone_from_the_line_and_from_the_screen() {
        let (lines, screen) = typed("ab\u{e9}\x7f\x08c\r".as_bytes(), true);
        assert_eq!(lines, [line("ac")]);
        assert_eq!(screen, "ab\u{e9}\x08 \x08\x08 \x08c\r\n");
        assert_eq!(
            typed(b"\x7f\x7fa\r", true),
            (vec![line("a")], "a\r\n".to_owned())
        );
        assert_eq!(typed(b"one two\x17three\r", false).0, [line("one three")]);
        assert_eq!(typed(b"one two  \x17\r", false).0, [line("one ")]);
        assert_eq!(
            typed(b"one two\x15x\r", false),
            (vec![line("x")], "\r\n".to_owned())
        );
    }

    #[test]
    fn other_keys_do_nothing() {
        // Arrows, Home, Delete, F5, Alt-b, Ctrl-L, a bell.
        let keys = b"\x1b[A\x1bOB\x1b[1~\x1b[3~\x1b[15;2~\x1bb\x0c\x07a\r";
        assert_eq!(typed(keys, true), (vec![line("a")], "a\r\n".to_owned()));
        // What would turn the text around is in the line, and not on the screen.
        let (lines, screen) = typed("\u{202e}a\r".as_bytes(), true);
        assert_eq!((lines, screen.as_str()), (vec![line("\u{202e}a")], "a\r\n"));
    }

    #[test]
    fn a_user_can_leave() {
        assert_eq!(typed(b"abc\x03", true).0, [LineProgress::Interrupted]);
        assert_eq!(typed(b"\x04", true).0, [LineProgress::Interrupted]);
        assert_eq!(
            typed(b"a\x04b\r", true).0,
            [line("ab")],
            "only on an empty line"
        );
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_is_not_usable() {
        let mut keys = vec![b'x'; MAX_LINE];
        keys.push(b'\r');
        assert_eq!(typed(&keys, false).0, [line(&"x".repeat(MAX_LINE))]);
        keys.insert(0, b'x');
        keys.extend(b"ok\r");
        assert_eq!(typed(&keys, false).0, [LineProgress::Unusable, line("ok")]);
        assert_eq!(typed(b"\xff\r", true).0, [LineProgress::Unusable]);
    }

    proptest! {
        #[test]
        fn any_keys_give_a_screen_without_commands(
            keys in proptest::collection::vec(any::<u8>(), 0..300),
            shows in any::<bool>(),
        ) {
            let mut editor = LineEditor::new();
            editor.begin(shows);
            let mut screen = Vec::new();
            for key in keys {
                editor.on_byte(key, &mut screen);
                prop_assert!(editor.line.len() <= MAX_LINE);
                prop_assert_eq!(editor.line.capacity(), MAX_LINE);
            }
            let text = String::from_utf8(screen).unwrap();
            let text = text.replace("\r\n", "").replace("\x08 \x08", "");
            prop_assert!(!text.contains(is_unsafe), "{:?}", text);
        }
    }
}
