//! Output whose effect on the screen is known without drawing it: lines of text, colours, and
//! erasing within a line.
//!
//! When many lines of it scroll over the whole screen, nothing stays of what was there before, nor
//! of its own first lines. A flood costs its scan and its last lines alone.

/// Most bytes of colours that are kept of what is left out.
const MAX_COLOURS: usize = 1 << 10;
/// How much is looked at together.
const STEP: usize = 32;

/// The length of the plain output that this begins with. A sequence that is not complete is plain at
/// the end of the bytes alone.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return at;
        }
        if let Some(step) = rest.first_chunk::<STEP>()
            && is_text(step)
        {
            at += STEP;
            continue;
        }
        let text = rest.iter().take(STEP).take_while(|byte| is_plain(**byte));
        at += match text.count() {
            0 => match sequence_len(rest) {
                Some(length) => length,
                None => return at,
            },
            length => length,
        };
    }
}

/// Where the bytes that decide about a screen of so many rows begin, in plain output: at the start of
/// a line.
pub(super) fn tail_start(plain: &[u8], rows: u16) -> Option<usize> {
    // To the bottom, then everything that was there out of sight, and one more.
    let lines = usize::from(rows) * 2 + 2;
    let mut feeds = 0;
    let mut end = plain.len();
    while let Some(feed) = plain
        .get(..end)
        .and_then(|head| head.iter().rposition(|byte| *byte == b'\n'))
    {
        // The column is known after a CR.
        if feeds >= lines && feed > 0 && plain.get(feed - 1) == Some(&b'\r') {
            return Some(feed + 1);
        }
        feeds += 1;
        end = feed;
    }
    None
}

/// The colours that hold after plain output, as the sequences that set them. `None` when they are too
/// many.
pub(super) fn colours(plain: &[u8]) -> Option<Vec<u8>> {
    let mut colours = Vec::new();
    let mut at = 0;
    while let Some(found) = plain.get(at..).and_then(escape) {
        let sequence = plain.get(at + found..).unwrap_or_default();
        let length = sequence_len(sequence).unwrap_or(1);
        let sequence = sequence.get(..length).unwrap_or_default();
        at += found + length;
        match sequence {
            b"\x1b[m" | b"\x1b[0m" => {
                colours.clear();
                colours.extend_from_slice(sequence);
            }
            [.., b'm'] => colours.extend_from_slice(sequence),
            _ => {}
        }
        if colours.len() > MAX_COLOURS {
            return None;
        }
    }
    Some(colours)
}

/// Where the first ESC is.
fn escape(bytes: &[u8]) -> Option<usize> {
    let before = bytes
        .chunks(STEP)
        .take_while(|step| !step.contains(&0x1B))
        .map(<[u8]>::len)
        .sum();
    let rest = bytes.get(before..)?;
    let found = rest.iter().position(|byte| *byte == 0x1B)?;
    Some(before + found)
}

/// Characters, and the controls that move within a line or to the next one. 0xC2 may begin a C1
/// control.
fn is_text(bytes: &[u8]) -> bool {
    // All of them, so that many are looked at with one instruction.
    bytes
        .iter()
        .fold(true, |is_text, byte| is_text & is_plain(*byte))
}

fn is_plain(byte: u8) -> bool {
    let is_control = (byte < 0x20) & !matches!(byte, 0x07..=b'\n' | b'\r');
    !(is_control | (byte == 0x7F) | (byte == 0xC2))
}

/// The length of a sequence of plain output, or of its beginning where the bytes end.
fn sequence_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xC2] | [0x1B] => Some(bytes.len()),
        [0xC2, next, ..] if *next >= 0xA0 => Some(2),
        [0x1B, b'[', parameters @ ..] => {
            let length = parameters
                .iter()
                .position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'));
            match length.map(|length| (length, parameters.get(length))) {
                None => Some(bytes.len()),
                Some((length, Some(b'm' | b'K'))) => Some(length + 3),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain() {
        for plain in [
            "text\r\n\tmore \x08\x07".as_bytes(),
            b"\x1b[m\x1b[01;31mred\x1b[K\x1b[38:5:1mx\x1b[0m",
            "gr\u{fc}n \u{a0} 漢".as_bytes(),
            &[b'x'; 1000],
        ] {
            assert_eq!(plain_len(plain), plain.len(), "{plain:?}");
            for end in 0..plain.len() {
                assert_eq!(plain_len(&plain[..end]), end, "a beginning of {plain:?}");
            }
        }
        for other in [
            b"\x1b[H".as_slice(),
            b"\x1b[?25l",
            b"\x1b[1;2r",
            b"\x1bc",
            b"\x0e",
            b"\x7f",
            b"\xc2\x9b1m",
            b"\x1b[3\nm",
        ] {
            assert_eq!(plain_len(&[b"abc", other].concat()), 3, "{other:?}");
            let late = [&[b'x'; 100], other, &[b'y'; 100]].concat();
            assert_eq!(plain_len(&late), 100, "{other:?}");
        }
    }

    #[test]
    fn colours_are_those_since_the_last_reset() {
        let text = b"\x1b[31ma\x1b[Kb\x1b[m\x1b[1mc\xc2\xa0\x1b[4m\r\n";
        assert_eq!(colours(text).unwrap(), b"\x1b[m\x1b[1m\x1b[4m");
        assert_eq!(colours(&b"\x1b[31m".repeat(1000)), None);
    }

    #[test]
    fn the_tail_begins_with_a_line() {
        let text = b"line\r\n".repeat(100);
        let start = tail_start(&text, 10).unwrap();
        assert_eq!((text.len() - start) / 6, 22);
        assert_eq!(tail_start(&b"line\r\n".repeat(20), 10), None);
        assert_eq!(tail_start(&b"line\n".repeat(100), 10), None);
    }
}
