//! Makes an export safe to print on a terminal.

use std::io::{self, Write};

use crate::model::text;
use crate::recording::export::Format;

/// What waits for the end of its line before it is written all the same, in bytes.
const MAX_WAITING: usize = 64 << 10;

/// Escapes what could act on a terminal, and keeps lines. JSON is escaped as JSON is, and means the
/// same.
#[derive(Debug)]
pub(super) struct Harmless<W> {
    out: W,
    is_json: bool,
    /// The beginning of a line: a character or a line feed may be cut.
    waiting: Vec<u8>,
}

impl<W: Write> Harmless<W> {
    /// For an export of this format.
    pub(super) fn new(out: W, format: Format) -> Self {
        Self {
            out,
            is_json: matches!(format, Format::Asciicast | Format::Json),
            waiting: Vec::new(),
        }
    }

    /// Writes what is left, a line without its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.put(self.waiting.len())?;
        self.out.flush()
    }

    fn put(&mut self, ready: usize) -> io::Result<()> {
        let ready: Vec<u8> = self.waiting.drain(..ready).collect();
        let safe = match self.is_json {
            true => text::json(&String::from_utf8_lossy(&ready)),
            false => text::byte_lines(&ready),
        };
        self.out.write_all(safe.as_bytes())
    }
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        match self.waiting.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => self.put(end + 1)?,
            None if self.waiting.len() > MAX_WAITING => self.put(self.waiting.len())?,
            None => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::text::is_unsafe;
    use crate::recording::Stream;
    use crate::recording::export::Part;

    const RAW: Format = Format::Raw(Part::Stream(Stream::Stdout));

    fn shown(bytes: &[u8], format: Format, size: usize) -> String {
        let mut out = Vec::new();
        let mut harmless = Harmless::new(&mut out, format);
        for part in bytes.chunks(size) {
            harmless.write_all(part).unwrap();
        }
        harmless.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_acts_on_a_terminal() {
        let said = "a\tü\r\n\u{1b}]52;c;x\u{7}\u{9b}6n\u{202e}\r";
        let expected = "a\tü\n\\u{1b}]52;c;x\\u{7}\\u{9b}6n\\u{202e}\\r";
        for size in 1..said.len() {
            assert_eq!(shown(said.as_bytes(), RAW, size), expected);
        }
        assert_eq!(shown(b"\xff\xfe", RAW, 1), "\\xff\\xfe");
        assert_eq!(
            shown("[\"\u{9b}\"]\n".as_bytes(), Format::Json, 2),
            "[\"\\u009b\"]\n"
        );
    }

    proptest! {
        #[test]
        fn every_export_is_safe(bytes: Vec<u8>, text: String, size in 1..50usize) {
            for format in [Format::Asciicast, Format::Text, Format::Json, RAW] {
                for said in [&bytes[..], text.as_bytes()] {
                    let shown = shown(said, format, size);
                    prop_assert!(shown.chars().all(|c| matches!(c, '\n' | '\t') || !is_unsafe(c)));
                }
            }
        }
    }
}
