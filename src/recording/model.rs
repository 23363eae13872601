//! The terminal model, for untrusted output of hosts.
//!
//! The model carries out every sequence, however often it is sent. This file limits it: no output
//! makes it larger than a large terminal, and no short sequence costs more than a line of text.

use avt::parser::{Function, State};
use avt::{InvalidSize, Observer, Parser, ScreenKind, Terminal};

use super::utf8::Utf8Decoder;

/// Columns, and rows, of the largest terminal; larger ones exist only to exhaust memory.
const MAX_SIDE: u16 = 1000;
/// Characters on it.
const MAX_CELLS: usize = 1 << 18;
/// A row that becomes several ones keeps the room that it had: it is not cut into more at once.
const MAX_CUT: usize = 4;
/// CAN ends a sequence and does nothing else (ECMA-48, 8.3.6; xterm).
const CAN: char = '\u{18}';

/// A terminal without scrollback that is fed bytes.
pub(super) struct Model {
    terminal: Terminal,
    /// Sees a sequence end before the terminal does.
    ahead: Parser,
    decoder: Utf8Decoder,
    /// A storm of resizes with nothing shown between them is one resize.
    resized: Option<(u16, u16)>,
    /// Whether a part of the screen may be all that scrolls. Said once it is, and never taken back.
    has_region: bool,
}

impl Model {
    /// An empty one of this size in characters, or of the nearest that is allowed.
    pub(super) fn new(size: (u16, u16)) -> Result<Self, InvalidSize> {
        let (cols, rows) = bounded(size);
        Ok(Self {
            terminal: Terminal::with_scrollback(cols, rows, Some(0))?,
            ahead: Parser::new(),
            decoder: Utf8Decoder::default(),
            resized: None,
            has_region: false,
        })
    }

    /// Its size in characters.
    pub(super) fn size(&self) -> (u16, u16) {
        let (cols, rows) = self.resized.map_or_else(|| self.terminal.size(), bounded);
        let side = |size| u16::try_from(size).unwrap_or(MAX_SIDE);
        (side(cols), side(rows))
    }

    /// Whether lines of text that come now scroll the whole screen: it is not in the middle of
    /// anything, and no region is kept in place.
    pub(super) fn is_plain(&self) -> bool {
        self.ahead.state == State::Ground
            && !self.has_region
            && self.resized.is_none()
            && self.decoder.rest().is_empty()
    }

    /// What it shows.
    pub(super) fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Whether a full-screen program has it.
    pub(super) fn is_alternate(&self) -> bool {
        self.terminal.active_screen_kind() == ScreenKind::Alternate
    }

    /// Takes output.
    pub(super) fn feed(&mut self, bytes: &[u8], observer: &mut impl Observer<Output = ()>) {
        self.settle(observer);
        let text = self.decoder.decode(bytes);
        self.feed_text(&text, observer);
    }

    /// Its size is another one from the next output on.
    pub(super) fn resize(&mut self, cols: u16, rows: u16) {
        self.resized = Some((cols, rows));
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, observer: &mut impl Observer<Output = ()>) {
        let rest = self.decoder.finish();
        self.feed_text(&rest, observer);
    }

    /// Control sequences and text that bring an empty terminal of the same size into this state,
    /// and the beginning of a character that is not complete.
    pub(super) fn dump(&mut self) -> (String, &[u8]) {
        self.settle(&mut ());
        (self.terminal.dump(), self.decoder.rest())
    }

    fn feed_text(&mut self, text: &str, observer: &mut impl Observer<Output = ()>) {
        for character in text.chars() {
            let is_text = matches!(character, '\x20'..='\x7e' | '\u{a0}'..);
            if is_text && self.ahead.state == State::Ground {
                // Neither parser has anything to find out.
                self.terminal
                    .execute_with(Function::Print(character), &mut *observer);
                continue;
            }
            match self.ahead.feed(character) {
                // A line of it, as VTE has it: a few bytes must not become a flood.
                Some(Function::Rep(count)) if usize::from(count) > self.terminal.size().0 => {
                    self.terminal.feed(CAN);
                    let line = u16::try_from(self.terminal.size().0).unwrap_or(MAX_SIDE);
                    self.terminal
                        .execute_with(Function::Rep(line), &mut *observer);
                }
                // A screen full of E says nothing, in three bytes. A replay leaves it out too.
                Some(Function::Decaln) => self.terminal.feed(CAN),
                function => {
                    self.has_region |= matches!(function, Some(Function::Decstbm(..)));
                    self.terminal.feed_with(character, &mut *observer);
                }
            }
        }
    }

    fn settle(&mut self, observer: &mut impl Observer<Output = ()>) {
        let Some(size) = self.resized.take() else {
            return;
        };
        let (cols, rows) = bounded(size);
        let (mut width, height) = self.terminal.size();
        while width / MAX_CUT > cols {
            width /= MAX_CUT;
            self.terminal.resize_with(width, height, &mut *observer);
        }
        self.terminal.resize_with(cols, rows, &mut *observer);
    }
}

fn bounded((cols, rows): (u16, u16)) -> (usize, usize) {
    let side = |size: u16| usize::from(size.clamp(1, MAX_SIDE));
    (side(cols), side(rows).min(MAX_CELLS / side(cols)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(terminal: &Terminal) -> Vec<String> {
        terminal
            .screen()
            .visible_lines()
            .map(avt::Line::text)
            .collect()
    }

    fn fed(bytes: &[u8], size: (u16, u16)) -> Model {
        let mut model = Model::new(size).unwrap();
        model.feed(bytes, &mut ());
        model
    }

    #[test]
    fn a_repeat_fills_a_line_and_a_pattern_nothing() {
        let model = fed(b"x\x1b[65535b|\x1b#8", (20, 4));
        let text = rows(model.terminal());
        assert_eq!(text[0], "x".repeat(20));
        assert_eq!(text[1].trim_end(), "x|");
        let model = fed(b"x\x1b[5b|", (20, 4));
        assert_eq!(rows(model.terminal())[0].trim_end(), "xxxxxx|");
    }

    #[test]
    fn no_size_is_larger_than_a_large_terminal() {
        for size in [(u16::MAX, u16::MAX), (0, u16::MAX), (u16::MAX, 0), (1, 1)] {
            let mut model = Model::new(size).unwrap();
            for next in [(u16::MAX, 1), (1, u16::MAX), size] {
                model.resize(next.0, next.1);
                model.feed("漢x".as_bytes(), &mut ());
                let (cols, rows) = model.terminal().size();
                assert!(cols <= 1000 && rows <= 1000 && cols * rows <= MAX_CELLS);
            }
        }
    }

    proptest! {
        /// The parser that looks ahead and the terminal's own one are always at the same place:
        /// without what is held back there is no difference.
        #[test]
        fn what_multiplies_nothing_is_as_without_it(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[\\x00-\\x7f]{0,6}",
                    "\x1b[\\[\\]P_(]?[?>]?[0-9;:]{0,3}[ !]?[@-ac-~]",
                    ".{0,4}",
                ],
                0..30,
            ),
        ) {
            let text = parts.concat();
            let is_held_back = {
                let mut parser = Parser::new();
                text.chars().any(|c| {
                    matches!(parser.feed(c), Some(Function::Rep(21..) | Function::Decaln))
                })
            };
            prop_assume!(!is_held_back);
            let mut plain = Terminal::new(20, 4).unwrap();
            plain.feed(text.as_str());
            let model = fed(text.as_bytes(), (20, 4));
            prop_assert_eq!(model.terminal().dump(), plain.dump());
        }
    }
}
