//! What a session's terminal shows at a given time: for a viewer that starts at that time.

use super::model::Model;

/// A terminal that is fed and not looked at yet.
pub struct Screen {
    /// `None` only where a terminal of no size was asked for, which the model rules out.
    model: Option<Model>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty one of this size in characters.
    #[must_use]
    pub fn new(size: (u16, u16)) -> Self {
        Self {
            model: Model::new(size).ok(),
        }
    }

    /// Takes output of the session.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(model) = &mut self.model {
            model.feed(bytes, &mut ());
        }
    }

    /// The session's terminal has another size.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        if let Some(model) = &mut self.model {
            model.resize(cols, rows);
        }
    }

    /// Output that brings an empty terminal of the same size into this state, in the middle of a
    /// control sequence if need be. It is as hostile as the output that it was made from.
    #[must_use]
    pub fn dump(mut self) -> Vec<u8> {
        let Some(model) = &mut self.model else {
            return Vec::new();
        };
        let (text, partial) = model.dump();
        let mut bytes = seven_bit(&text).into_bytes();
        bytes.extend_from_slice(partial);
        bytes
    }
}

/// C1 controls as ESC and a letter, which all terminals and parsers take (ECMA-48, 5.3).
pub(super) fn seven_bit(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(code @ 0x80..=0x9F) => plain.extend(['\x1b', char::from(code - 0x40)]),
            _ => plain.push(character),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use avt::Terminal;

    use super::*;

    #[test]
    fn what_is_half_said_is_said_in_seven_bits() {
        let mut screen = Screen::new((20, 4));
        screen.feed(b"\x1b[2;3");
        let dump = screen.dump();
        assert!(dump.ends_with(b"\x1b[2;3"), "{dump:?}");
        assert!(dump.is_ascii());
    }

    /// The lines that a terminal shows which was fed this.
    fn shown(bytes: &[u8]) -> Vec<String> {
        let mut terminal = Terminal::new(20, 4).unwrap();
        terminal.feed(String::from_utf8_lossy(bytes).as_ref());
        let lines = terminal.screen().text();
        lines
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn who_comes_later_sees_the_same() {
        let parts: [&[u8]; 6] = [
            b"one\r\ntwo\r\nthree\r\nfour\r\nfive \x1b[1mbold\xc3",
            b"\xa9\x1b[H\x1b[2Khome\x1b[3",
            b";5Hthere",
            b"\x1b[?1049h\x1b[2Jfull\x1b[2;3Hscreen",
            b"\x1b[?1049l",
            b"\x1b[4;1Hlast",
        ];
        let all = parts.concat();
        for cut in 0..=all.len() {
            let (past, rest) = all.split_at(cut);
            let mut screen = Screen::new((20, 4));
            screen.feed(past);
            let mut later = screen.dump();
            later.extend_from_slice(rest);
            assert_eq!(shown(&later), shown(&all), "cut at {cut}");
        }
    }

    #[test]
    fn sizes_are_followed_and_bounded() {
        let mut screen = Screen::new((u16::MAX, u16::MAX));
        screen.resize(0, 0);
        screen.resize(20, 4);
        screen.feed(b"\x1b[99;99Hx");
        let last = shown(&screen.dump()).pop().unwrap();
        assert_eq!(last, format!("{}x", " ".repeat(19)));
    }
}
