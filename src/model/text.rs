//! Text that others wrote, made fit for people: the one door to terminals, tables, logs and failures.
//!
//! What a peer, a file name or a file says may hold characters that drive a terminal, that turn the
//! text around them, or that are invisible. [`is_unsafe`] says which ones, and everything that is
//! printed goes through one of the forms here. The exact text is for files and JSON, not for eyes.

use std::fmt::{self, Write as _};
use std::path::Path;

/// Longest reason that a person gives for something, in bytes: it is read in one line.
pub const MAX_REASON: usize = 500;
/// Ends a text that was cut.
const CUT: &str = "...";

/// Whether a character may do something else to a screen than show itself.
///
/// The control characters (C0, DEL, C1), the separators of lines and paragraphs, the marks that
/// reorder text, and everything else that Unicode calls ignorable because it has no shape: zero-width
/// characters, joiners, the byte order mark, fillers, variation selectors, tags. A name that differs
/// from another one only by such a character looks the same.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a text is one line that shows what it is.
#[must_use]
pub fn is_printable(text: &str) -> bool {
    !text.contains(is_unsafe)
}

/// A foreign text as one line: what is [unsafe](is_unsafe) stands there escaped, as `\n`, `\t` or
/// `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl Printable<'_> {
    /// The line, at most this many bytes long after escaping. One that is cut ends in `...`, and no
    /// escape is cut in two. A limit below three gives nothing of a longer text.
    #[must_use]
    pub fn within(self, limit: usize) -> String {
        let mut line = String::new();
        // How long it was when there was still room for the mark.
        let mut fits = 0;
        for c in self.0.chars() {
            escape(c, &mut line);
            if line.len() > limit {
                line.truncate(fits);
                if limit >= CUT.len() {
                    line.push_str(CUT);
                }
                return line;
            }
            if line.len() + CUT.len() <= limit {
                fits = line.len();
            }
        }
        line
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            escape(c, &mut line);
        }
        f.pad(&line)
    }
}

/// A foreign text of several lines: line feeds and tabs stay, the rest is escaped as [`Printable`]
/// does it. A carriage return before a line feed is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a>(pub &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&kept_lines(self.0, escape))
    }
}

/// A foreign text of several lines as [`Lines`] has it, but with the control characters of ASCII as
/// their keys: `^[` for ESC. What terminals say is full of them.
#[derive(Clone, Copy, Debug)]
pub struct Carets<'a>(pub &'a str);

impl fmt::Display for Carets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&kept_lines(self.0, |c, text| match c {
            '\0'..='\x1f' | '\x7f' => {
                text.push('^');
                // Control characters are 0x40 away from what stands on their key.
                text.push(char::from_u32(u32::from(c) ^ 0x40).unwrap_or('?'));
            }
            _ => escape(c, text),
        }))
    }
}

/// A path as one line. Bytes that are no UTF-8 stand there as `\xFF`.
#[must_use]
pub fn path(path: &Path) -> ShownPath<'_> {
    ShownPath(path)
}

/// What [`path`] gives.
#[derive(Clone, Copy, Debug)]
pub struct ShownPath<'a>(&'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bytes(self.0.as_os_str().as_encoded_bytes()))
    }
}

/// Bytes that are mostly text, as one line. Those that are no UTF-8 stand there as `\xFF`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    mostly_text(bytes, |text, line| {
        for c in text.chars() {
            escape(c, line);
        }
    })
}

/// The text with U+FFFD in the place of what is unsafe, character by character: where the columns
/// have to stay.
#[must_use]
pub fn masked(text: &str) -> String {
    let mask = |c| match is_unsafe(c) {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().map(mask).collect()
}

/// JSON that means the same and is safe to print. Its own grammar escapes the control characters of
/// ASCII only, and outside of strings there is nothing to escape.
#[must_use]
pub fn json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        // Between the strings of a document that is laid out stand line feeds.
        if is_unsafe(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Bytes that are mostly text, with their line feeds and tabs, as [`Lines`] has it. Those that are no
/// UTF-8 stand there as `\xFF`.
#[must_use]
pub fn byte_lines(bytes: &[u8]) -> String {
    mostly_text(bytes, |text, lines| {
        let _infallible = write!(lines, "{}", Lines(text));
    })
}

/// Bytes in lower-case hexadecimal, two digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

/// What is UTF-8 in some bytes as `put` has it, with the rest as `\xFF`.
fn mostly_text(bytes: &[u8], put: impl Fn(&str, &mut String)) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        put(chunk.valid(), &mut shown);
        for byte in chunk.invalid() {
            let _infallible = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A text with its line feeds and tabs, and everything else as `put` has it.
fn kept_lines(text: &str, put: impl Fn(char, &mut String)) -> String {
    let mut characters = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' => kept.push(c),
            '\r' if characters.peek() == Some(&'\n') => {}
            _ => put(c, &mut kept),
        }
    }
    kept
}

fn escape(c: char, line: &mut String) {
    match c {
        '\t' | '\n' | '\r' => line.extend(c.escape_default()),
        c if is_unsafe(c) => line.extend(c.escape_unicode()),
        c => line.push(c),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_drives_a_terminal_or_deceives_a_reader_is_unsafe() {
        for c in
            "\0\u{1b}\u{7f}\u{9b}\u{85}\n\t\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{200d}\u{200e}\
                  \u{61c}\u{2028}\u{2029}\u{feff}\u{ad}\u{e0041}\u{fe0f}"
                .chars()
        {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in "aZ ~é€漢😀\u{fffd}\u{301}".chars() {
            assert!(!is_unsafe(c), "{c:?}");
        }
    }

    #[test]
    fn a_line_shows_what_is_in_it() {
        let line = Printable("a\u{1b}[2J\nb\u{202e}c\u{9b}").to_string();
        assert_eq!(line, "a\\u{1b}[2J\\nb\\u{202e}c\\u{9b}");
        assert_eq!(format!("{:6}|", Printable("é\t")), "é\\t   |");
        assert_eq!(Lines("a\r\nb\tc\rd").to_string(), "a\nb\tc\\rd");
        assert_eq!(
            Carets("a\x1b\r\n\x7f\t\u{9b}").to_string(),
            "a^[\n^?\t\\u{9b}"
        );
        assert_eq!(bytes(b"a\xffb\n"), "a\\xffb\\n");
        assert_eq!(byte_lines(b"a\xff\tb\r\n\x1b"), "a\\xff\tb\n\\u{1b}");
        let odd = Path::new(OsStr::from_bytes(b"/x\xa0\n\x1b"));
        assert_eq!(path(odd).to_string(), "/x\\xa0\\n\\u{1b}");
        assert_eq!(masked("a\u{202e}\u{1b}"), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_limit_counts_what_is_printed() {
        assert_eq!(Printable("abcdef").within(6), "abcdef");
        assert_eq!(Printable("abcdefg").within(6), "abc...");
        assert_eq!(Printable("ab\u{1b}c").within(8), "ab...");
        assert_eq!(Printable("abc").within(2), "");
        assert_eq!(Printable("").within(0), "");
        assert_eq!(Printable(&"\u{1b}".repeat(4096)).within(256).len(), 255);
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in "\\PC*|[\\x00-\\x7f]*|.*", raw: Vec<u8>, limit in 0..80usize) {
            prop_assert!(is_printable(&Printable(&text).to_string()));
            prop_assert!(is_printable(&masked(&text)));
            prop_assert!(is_printable(&bytes(&raw)));
            let cut = Printable(&text).within(limit);
            prop_assert!(is_printable(&cut) && cut.len() <= limit);
            for lines in [Lines(&text).to_string(), Carets(&text).to_string(), byte_lines(&raw)] {
                prop_assert!(lines.chars().all(|c| matches!(c, '\n' | '\t') || !is_unsafe(c)));
            }
        }

        #[test]
        fn safe_json_means_the_same(text: String, tag in proptest::char::range('\u{e0000}', '\u{e0fff}')) {
            let value = serde_json::json!({ "key": format!("{text}{tag}\u{9b}\u{202e}\n") });
            for written in [value.to_string(), format!("{value:#}")] {
                let safe = json(&written);
                prop_assert!(safe.chars().all(|c| c == '\n' || !is_unsafe(c)));
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&safe).unwrap(), &value);
            }
        }
    }
}
