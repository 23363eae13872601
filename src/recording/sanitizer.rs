//! Makes a recording's output safe for the terminal on which it is replayed.
//!
//! Output is parsed and written anew: nothing reaches the terminal that is not on the list below.
//! It passes printable characters; BS, HT, LF, VT, FF, CR; colours and attributes; cursor
//! movement; erasing, inserting, deleting, scrolling; the scroll region; insert, origin and wrap
//! mode; the alternate screen; the cursor's visibility. It never passes what makes a terminal
//! answer, sets its title, clipboard, palette or keys, prints, reports the mouse, or leaves a
//! character set behind.

use vte::{Params, Parser, Perform};

use super::screen::seven_bit;
use super::utf8::Utf8Decoder;
use crate::model::text::is_unsafe;

/// A filter between a recording and a terminal; keeps its place between chunks.
pub struct Sanitizer {
    decoder: Utf8Decoder,
    parser: Parser,
    strings: Strings,
    filter: Filter,
}

impl std::fmt::Debug for Sanitizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sanitizer")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl Default for Sanitizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sanitizer {
    /// A filter for a terminal in its normal state.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: Utf8Decoder::default(),
            parser: Parser::new(),
            strings: Strings::default(),
            filter: Filter::default(),
        }
    }

    /// Appends to `out` what may pass of `bytes`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        std::mem::swap(out, &mut self.filter.out);
        // The parser loses characters that are cut: it never sees a part of one.
        let text = seven_bit(&self.decoder.decode(bytes)).into_bytes();
        let parsed: Vec<u8> = text
            .into_iter()
            .filter(|byte| self.strings.is_parsed(*byte))
            .collect();
        self.parser.advance(&mut self.filter, &parsed);
        std::mem::swap(out, &mut self.filter.out);
    }

    /// Confines scrolling to this many rows: a terminal taller than the recording's then scrolls
    /// where that one did.
    pub fn confine(&mut self, rows: u16, out: &mut Vec<u8>) {
        self.filter.rows = Some(rows);
        out.extend_from_slice(format!("\x1b7\x1b[1;{rows}r\x1b8").as_bytes());
    }

    /// Appends what puts the terminal back into its normal state.
    pub fn reset(&mut self, out: &mut Vec<u8>) {
        if self.filter.is_alternate {
            out.extend_from_slice(b"\x1b[?1049l");
        }
        // Setting the region moves the cursor: keep its place. So does leaving origin mode, which a
        // saved place would bring back: then what follows stands below everything.
        out.extend_from_slice(if self.filter.origin {
            b"\x1b[?6l\x1b[r\x1b[9999;1H"
        } else {
            b"\x1b7\x1b[r\x1b8"
        });
        out.extend_from_slice(b"\x1b[4l\x1b[?7h\x1b[?25h\x1b[m");
        *self = Self::new();
    }
}

/// Where commands to the operating system (OSC) begin and end: the parser would keep all of one, however
/// long, and none passes. It has no memory of any other sequence but its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Strings {
    #[default]
    Outside,
    /// After an ESC.
    Escaped,
    Inside,
}

impl Strings {
    /// Whether the parser is to see the next byte: it sees how a string begins and how it ends.
    fn is_parsed(&mut self, byte: u8) -> bool {
        let before = *self;
        *self = match (before, byte) {
            (_, 0x1B) => Self::Escaped,
            (Self::Escaped, b']') => Self::Inside,
            // Control characters act at once, in the middle of a sequence too.
            (Self::Escaped, 0..0x20 | 0x7F..) if !matches!(byte, 0x18 | 0x1A) => Self::Escaped,
            (Self::Inside, 0x07 | 0x18 | 0x1A) => Self::Outside,
            (Self::Inside, _) => Self::Inside,
            (Self::Outside | Self::Escaped, _) => Self::Outside,
        };
        (before, *self) != (Self::Inside, Self::Inside)
    }
}

#[derive(Debug, Default)]
struct Filter {
    out: Vec<u8>,
    is_alternate: bool,
    rows: Option<u16>,
    /// Whether places count from the scroll region (DECOM), now and where the cursor was saved.
    origin: bool,
    saved_origin: bool,
    /// Which of G0 and G1 holds line drawing characters.
    graphics: [bool; 2],
    /// Whether G1 is shifted in.
    shifted: bool,
    printed: char,
}

impl Perform for Filter {
    fn print(&mut self, character: char) {
        let is_graphic = self
            .graphics
            .get(usize::from(self.shifted))
            .is_some_and(|graphic| *graphic);
        let character = if is_graphic {
            line_drawing(character)
        } else {
            character
        };
        self.put(character);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            0x08..=0x0D => self.out.push(byte),
            0x0E => self.shifted = true,
            0x0F => self.shifted = false,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, end: char) {
        if ignore {
            return;
        }
        match (intermediates, end) {
            ([], 'm') => self.sequence(params, end),
            ([], 'A'..='I' | '@' | '`' | 'a' | 'd' | 'e' | 'f' | 'X' | 'Z') if is_plain(params) => {
                self.sequence(params, end);
            }
            ([], 'K' | 'L' | 'M' | 'P' | 'S') if is_plain(params) => self.sequence(params, end),
            // With five parameters it is mouse tracking.
            ([], 'T') if is_plain(params) && params.len() == 1 => self.sequence(params, end),
            ([], 'J') if is_plain(params) => self.erase(params),
            ([], 'b') if is_plain(params) => self.repeat(params),
            ([], 'r') if is_plain(params) => self.region(params),
            // With parameters it sets margins.
            ([], 's') if first(params) == 0 && params.len() == 1 => self.save(b"\x1b[s"),
            ([], 'u') => self.recall(b"\x1b[u"),
            ([], 'h' | 'l') => self.ansi_modes(params, end),
            ([b'?'], 'h' | 'l') => self.private_modes(params, end),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        if ignore {
            return;
        }
        match (intermediates, byte) {
            ([], b'7') => self.save(b"\x1b7"),
            ([], b'8') => self.recall(b"\x1b8"),
            ([], b'D' | b'E' | b'M') => self.raw(&[0x1B, byte]),
            ([], b'c') => self.full_reset(),
            ([b'('], set) => self.designate(0, set),
            ([b')'], set) => self.designate(1, set),
            _ => {}
        }
    }
}

impl Filter {
    fn put(&mut self, character: char) {
        if character.is_control() {
            return;
        }
        // What turns the text around it, or is not seen, makes an auditor read something else than
        // was run.
        let shown = if is_unsafe(character) && !is_part(character) {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        };
        self.printed = shown;
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(shown.encode_utf8(&mut buffer).as_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn save(&mut self, bytes: &[u8]) {
        self.saved_origin = self.origin;
        self.raw(bytes);
    }

    fn recall(&mut self, bytes: &[u8]) {
        self.origin = self.saved_origin;
        self.raw(bytes);
    }

    fn sequence(&mut self, params: &Params, end: char) {
        let groups: Vec<String> = params
            .iter()
            .map(|group| {
                let parts: Vec<String> = group.iter().map(u16::to_string).collect();
                parts.join(":")
            })
            .collect();
        self.raw(format!("\x1b[{}{end}", groups.join(";")).as_bytes());
    }

    /// Erasing the scrollback would erase the auditor's.
    fn erase(&mut self, params: &Params) {
        if params.len() == 1 && first(params) <= 2 {
            self.sequence(params, 'J');
        }
    }

    /// Written out, and no more than a line of it: a few bytes must not become a flood.
    fn repeat(&mut self, params: &Params) {
        let count = first(params).clamp(1, 1000);
        if self.printed != '\0' {
            for _ in 0..count {
                self.put(self.printed);
            }
        }
    }

    fn region(&mut self, params: &Params) {
        let mut bounds = params.iter().filter_map(|group| group.first().copied());
        let top = bounds.next().unwrap_or(0).max(1);
        let bottom = bounds.next().unwrap_or(0);
        match (bottom, self.rows) {
            (0, Some(rows)) => self.raw(format!("\x1b[{top};{rows}r").as_bytes()),
            (0, None) => self.raw(format!("\x1b[{top}r").as_bytes()),
            (bottom, _) => self.raw(format!("\x1b[{top};{bottom}r").as_bytes()),
        }
    }

    fn ansi_modes(&mut self, params: &Params, end: char) {
        for group in params.iter() {
            // Insert mode. The others change keys and line feeds.
            if let [4] = group {
                self.raw(format!("\x1b[4{end}").as_bytes());
            }
        }
    }

    fn private_modes(&mut self, params: &Params, end: char) {
        for group in params.iter() {
            match group {
                [mode @ (6 | 7 | 25 | 1048)] => {
                    match (mode, end) {
                        (6, _) => self.origin = end == 'h',
                        (1048, 'h') => self.saved_origin = self.origin,
                        (1048, _) => self.origin = self.saved_origin,
                        _ => {}
                    }
                    self.raw(format!("\x1b[?{mode}{end}").as_bytes());
                }
                [47 | 1047 | 1049] => self.alternate(end == 'h'),
                _ => {}
            }
        }
    }

    fn alternate(&mut self, enter: bool) {
        if enter != self.is_alternate {
            self.is_alternate = enter;
            self.raw(if enter {
                b"\x1b[?1049h"
            } else {
                b"\x1b[?1049l"
            });
        }
    }

    /// What a full reset shows, without what else it does to the auditor's terminal.
    fn full_reset(&mut self) {
        self.alternate(false);
        self.graphics = [false; 2];
        self.shifted = false;
        self.origin = false;
        self.raw(b"\x1b[m\x1b[4l\x1b[?6l\x1b[?7h\x1b[?25h");
        match self.rows {
            Some(rows) => self.raw(format!("\x1b[1;{rows}r").as_bytes()),
            None => self.raw(b"\x1b[r"),
        }
        self.raw(b"\x1b[H\x1b[2J");
    }

    /// Character sets are not switched in the terminal: line drawing is translated here.
    fn designate(&mut self, set: usize, name: u8) {
        if let Some(graphic) = self.graphics.get_mut(set) {
            *graphic = name == b'0';
        }
    }
}

fn first(params: &Params) -> u16 {
    params
        .iter()
        .next()
        .and_then(|group| group.first().copied())
        .unwrap_or(0)
}

/// No more than two parameters, none with parts.
fn is_plain(params: &Params) -> bool {
    params.len() <= 2 && params.iter().all(|group| group.len() == 1)
}

/// Joiners and variation selectors are parts of other characters, of emoji and of whole scripts: on a
/// screen they stay.
fn is_part(character: char) -> bool {
    matches!(character, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

/// DEC special graphics, as xterm shows them.
fn line_drawing(character: char) -> char {
    const FIRST: u32 = 0x60;
    const GLYPHS: [char; 31] = [
        '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─',
        '⎼', '⎽', '├', '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
    ];
    u32::from(character)
        .checked_sub(FIRST)
        .and_then(|index| GLYPHS.get(usize::try_from(index).ok()?))
        .copied()
        .unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn neutral(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        Sanitizer::new().feed(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The allow-list once more, as a grammar: the rest of `text`, or where it breaks.
    fn check(text: &str) -> Result<(), String> {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\x1b' {
                if c.is_control() && !('\x08'..='\x0d').contains(&c) {
                    return Err(format!("{c:?} before {rest:?}"));
                }
                continue;
            }
            let allowed = ["7", "8", "D", "E", "M", "[s", "[u", "[r", "[4h", "[4l"];
            let modes = ["6", "7", "25", "1048", "1049"];
            let modes = modes
                .iter()
                .flat_map(|m| [format!("[?{m}h"), format!("[?{m}l")]);
            let fixed = allowed.iter().map(|a| (*a).to_owned()).chain(modes);
            if let Some(found) = fixed.into_iter().find(|a| rest.starts_with(a.as_str())) {
                rest = &rest[found.len()..];
                continue;
            }
            let broken = || Err(format!("ESC before {rest:?}"));
            let Some(body) = rest.strip_prefix('[') else {
                return broken();
            };
            let params = body.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            let with_parts =
                body.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
            rest = if let Some(rest) = with_parts.strip_prefix('m') {
                rest
            } else if params.starts_with(|c| "@`ABCDEFGHIKLMPSTXZadefr".contains(c)) {
                &params[1..]
            } else if let Some(rest) = ["0J", "1J", "2J"].iter().find_map(|e| body.strip_prefix(e))
            {
                rest
            } else {
                return broken();
            };
        }
        Ok(())
    }

    /// What a terminal shows that was fed this.
    fn rows(bytes: &[u8]) -> Vec<String> {
        let mut terminal = avt::Terminal::new(80, 24).unwrap();
        terminal.feed(String::from_utf8_lossy(bytes).as_ref());
        let rows = terminal.screen().text();
        rows.iter().map(|row| row.trim_end().to_owned()).collect()
    }

    #[test]
    fn leaving_keeps_the_cursor_below_what_was_shown() {
        for shown in [
            "one\r\ntwo",
            "\x1b[?6hone\r\ntwo",
            "\x1b[?6h\x1b7\x1b[?6l\x1b8\r\ntwo",
        ] {
            let mut neutral = Sanitizer::new();
            let mut out = Vec::new();
            neutral.feed(shown.as_bytes(), &mut out);
            neutral.reset(&mut out);
            out.extend_from_slice(b"\r\n$ ");
            let rows = rows(&out);
            let prompt = rows.iter().position(|row| row == "$").expect("a prompt");
            let last = rows
                .iter()
                .position(|row| row == "two")
                .expect("what was shown");
            assert!(prompt > last, "{shown:?}: {rows:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whatever came before, and however long: what a terminal shows afterwards is shown.
        #[test]
        fn what_follows_a_long_sequence_is_shown(
            begin in proptest::sample::select(vec![
                "\x1b[", "\x1b[?", "\x1b[1;", "\x1b[ ", "\x1b]0;", "\x1bP", "\x1bP1$", "\x1b_", "\x1b^",
                "\x1bX", "\x1b(", "\x1b", "\u{9b}", "\u{9d}", "\u{90}", "",
            ]),
            fill in proptest::sample::select(vec!["0", ";", " ", "\0"]),
            end in proptest::sample::select(vec!["m", "\x1b\\", "\x18", "\u{9c}"]),
            length in prop_oneof![0..100usize, 60_000..210_000usize],
            size in prop_oneof![1..9000usize, Just(usize::MAX)],
        ) {
            let body = fill.repeat(length);
            let said = format!("{begin}{body}{end}\x1b[m\x1b(B\x1b[H\x1b[2Jfirst\r\nsecond\r\n");
            let mut filter = Sanitizer::new();
            let mut out = Vec::new();
            for part in said.as_bytes().chunks(size) {
                filter.feed(part, &mut out);
            }
            prop_assert_eq!(rows(&out), rows(said.as_bytes()));
            prop_assert!(rows(&out)[0] == "first");
        }

        /// The same without help: nothing but text follows.
        #[test]
        fn text_after_a_long_sequence_is_not_dark(
            (begin, end) in proptest::sample::select(vec![
                ("\x1b[", "m"), ("\x1b[?", "$p"), ("\x1b]0;", "\x07"), ("\x1b]0;", "\x1b\\"), ("\x1bP", "q\x1b\\"),
                ("\x1b_", "\x1b\\"), ("\x1b^", "\x1b\\"), ("\x1bX", "\x1b\\"), ("\u{9b}", "m"),
            ]),
            length in 60_000..210_000usize,
        ) {
            let body = "0".repeat(length);
            let shown = neutral(format!("{begin}{body}{end}first\r\nsecond\r\n").as_bytes());
            prop_assert!(shown.ends_with("first\r\nsecond\r\n"), "{}", &shown[shown.len().min(50)..]);
        }
    }

    #[test]
    fn what_draws_passes() {
        for text in [
            "grüße\r\n\tx\x08",
            "\x1b[1;31mred\x1b[0m",
            "\x1b[38:2:0:1:2:3m",
            "\x1b[2;5H\x1b[2J\x1b[0K\x1b[3A",
            "\x1b[?25l\x1b[?1049h\x1b[?1049l",
            "\x1b[1;20r\x1b7\x1b8\x1bM",
        ] {
            assert_eq!(neutral(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_answers_or_changes_the_terminal_does_not() {
        for text in [
            "\x05", // answerback
            "\x07", // bell
            "\x1b[c",
            "\x1b[>c",
            "\x1b[=c",
            "\x1bZ", // device attributes
            "\x1b[5n",
            "\x1b[6n",
            "\x1b[?6n", // status reports
            "\x1b[x",
            "\x1b[?1$p",
            "\x1b[>q", // parameters, modes, version
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\", // settings, terminfo
            "\x1b]0;title\x07",
            "\x1b]2;t\x1b\\",
            "\x1b]52;c;ZXZpbA==\x07",
            "\x1b]8;;http://evil\x1b\\",
            "\x1b]4;1;?\x07",
            "\x1b]1337;File=:AAAA\x07",
            "\x1b_apc\x1b\\",
            "\x1b^pm\x1b\\",
            "\x1bXsos\x1b\\",
            "\x1bPq#0;2;0;0;0~\x1b\\", // sixel
            "\x1b[21t",
            "\x1b[8;1;1t", // window operations
            "\x1b[5i",
            "\x1b[?4i", // printing
            "\x1b[?1000h",
            "\x1b[?1006h",
            "\x1b[?2004h",
            "\x1b[?1004h",
            "\x1b[?1h",
            "\x1b[?3h",
            "\x1b[>4;2m",
            "\x1b[>1u",
            "\x1b[?u", // keyboard protocols
            "\x1b[3J", // scrollback
            "\x1b[20h",
            "\x1b[2h", // line feeds, keyboard lock
            "\x1b(0",
            "\x0e",
            "\x0f",
            "\x1b%G",
            "\x1bn",
            "\x1b=", // character sets, keypad
            "\x1b[1;2;3;4;5T",
            "\x1b[1;80s",
            "\x1b[2 q",
            "\x1b#8",
            "\x1b[!p",
        ] {
            assert_eq!(neutral(text.as_bytes()), "", "{text:?}");
        }
    }

    #[test]
    fn eight_bit_controls_do_nothing() {
        assert_eq!(neutral(b"a\x9b6nb"), "a\u{fffd}6nb");
        assert_eq!(neutral("a\u{9b}6nb\u{9d}".as_bytes()), "ab");
    }

    #[test]
    fn modes_are_sorted_out_one_by_one() {
        assert_eq!(neutral(b"\x1b[?1049;1006;25h"), "\x1b[?1049h\x1b[?25h");
    }

    #[test]
    fn line_drawing_is_translated() {
        assert_eq!(neutral(b"\x1b(0lqk\x1b(Blqk"), "┌─┐lqk");
        assert_eq!(neutral(b"\x1b)0\x0ex\x0fx"), "│x");
    }

    #[test]
    fn what_turns_or_hides_is_made_visible() {
        assert_eq!(neutral("a\u{202e}b".as_bytes()), "a\u{fffd}b");
        assert_eq!(
            neutral("a\u{200b}\u{feff}b".as_bytes()),
            "a\u{fffd}\u{fffd}b"
        );
        let family = "👩\u{200d}👧 ✔\u{fe0f}";
        assert_eq!(neutral(family.as_bytes()), family);
    }

    #[test]
    fn an_endless_string_is_swallowed_without_being_kept() {
        let mut filter = Sanitizer::new();
        let mut out = Vec::new();
        filter.feed(b"\x1b]52;c;", &mut out);
        for _ in 0..100 {
            filter.feed(&[b'A'; 9000], &mut out);
        }
        filter.feed(b"\x07after", &mut out);
        assert_eq!(out, b"after");
    }

    #[test]
    fn a_repeat_cannot_become_a_flood() {
        assert_eq!(neutral(b"x\x1b[65535b").len(), 1001);
        assert_eq!(neutral(b"\x1b[9b"), "");
    }

    #[test]
    fn the_end_leaves_the_terminal_as_it_was() {
        let mut filter = Sanitizer::new();
        let mut out = Vec::new();
        filter.feed(b"\x1b[?1049h\x1b[31m\x1b[?25l", &mut out);
        out.clear();
        filter.reset(&mut out);
        let reset = String::from_utf8(out).unwrap();
        assert!(reset.starts_with("\x1b[?1049l"));
        assert!(reset.contains("\x1b[?25h") && reset.ends_with("\x1b[m"));
    }

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let sequence = prop_oneof![
            "\x1b[\\[\\]P_^X(#%]?[?>=!]?[0-9;:]{0,8}[ $'\"]?[ -~]".prop_map(String::into_bytes),
            ".{0,8}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..8),
            Just(b"\x1b\\".to_vec()),
        ];
        proptest::collection::vec(sequence, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn only_the_list_passes(bytes in noise()) {
            let text = neutral(&bytes);
            prop_assert_eq!(check(&text), Ok(()), "{:?}", text);
        }

        #[test]
        fn chunks_make_no_difference(bytes in noise(), cut: prop::sample::Index) {
            let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut filter = Sanitizer::new();
            let mut out = Vec::new();
            filter.feed(head, &mut out);
            filter.feed(tail, &mut out);
            let mut whole = Vec::new();
            let mut filter = Sanitizer::new();
            filter.feed(&bytes, &mut whole);
            filter.feed(b"", &mut whole);
            prop_assert_eq!(out, whole);
        }
    }
}
