//! Splits terminal output into text and bytes that are not text (`FORMAT.md`, section 3).

/// Most bytes in one text event.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// Shorter runs of text beside bytes that are none go into the same blob.
const MIN_TEXT: usize = 64;

/// A run of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Valid UTF-8, at most [`MAX_TEXT`] bytes.
    Text(&'a str),
    /// Anything, of any length.
    Bytes(&'a [u8]),
}

/// Cuts bytes into pieces that concatenate to them, in order.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    // Bytes at the front of `rest` that will be in a blob.
    let mut blob = 0;
    let mut seen = 0;
    for chunk in bytes.utf8_chunks() {
        let (valid, invalid) = (chunk.valid(), chunk.invalid());
        let is_whole = valid.len() == bytes.len();
        if is_whole || valid.len() >= MIN_TEXT {
            push_bytes(&mut pieces, rest.get(..blob));
            push_text(&mut pieces, valid);
            blob = 0;
        } else {
            blob += valid.len();
        }
        blob += invalid.len();
        seen += valid.len() + invalid.len();
        rest = bytes.get(seen - blob..).unwrap_or_default();
    }
    push_bytes(&mut pieces, rest.get(..blob));
    pieces
}

fn push_bytes<'a>(pieces: &mut Vec<Piece<'a>>, bytes: Option<&'a [u8]>) {
    if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
        pieces.push(Piece::Bytes(bytes));
    }
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, mut text: &'a str) {
    while !text.is_empty() {
        let (head, tail) = text.split_at(text.floor_char_boundary(MAX_TEXT));
        pieces.push(Piece::Text(head));
        text = tail;
    }
}

/// Whether the bytes end inside a character that the next bytes may complete.
pub(super) fn ends_inside_character(bytes: &[u8]) -> bool {
    let tail = bytes
        .get(bytes.len().saturating_sub(3)..)
        .unwrap_or_default();
    (0..tail.len()).any(|start| {
        tail.get(start..)
            .is_some_and(|tail| match std::str::from_utf8(tail) {
                Ok(_) => false,
                Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn valid_text_is_one_piece() {
        assert_eq!(pieces("grüße".as_bytes()), [Piece::Text("grüße")]);
        assert_eq!(pieces(b""), []);
    }

    #[test]
    fn a_split_character_costs_only_itself() {
        let text = "ü".repeat(40);
        let (head, tail) = text.as_bytes().split_at(71);
        assert_eq!(
            pieces(head),
            [Piece::Text(&text[..70]), Piece::Bytes(b"\xc3")]
        );
        assert_eq!(pieces(tail), [Piece::Bytes(tail)]);
        assert!(ends_inside_character(head));
        assert!(!ends_inside_character(text.as_bytes()));
        assert!(!ends_inside_character(b"\xff"));
        assert!(ends_inside_character(b"a\xf0\x9f\x98"));
    }

    #[test]
    fn noise_with_letters_is_one_blob() {
        let noise = b"abc\xffdef\xfe\xfdghi";
        assert_eq!(pieces(noise), [Piece::Bytes(noise)]);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = "€".repeat(MAX_TEXT);
        for piece in pieces(text.as_bytes()) {
            assert!(matches!(piece, Piece::Text(text) if text.len() <= MAX_TEXT));
        }
    }

    fn mixed() -> impl Strategy<Value = Vec<u8>> {
        let run = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            ".{0,90}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn pieces_concatenate_to_the_bytes(bytes in mixed()) {
            let mut joined = Vec::new();
            for piece in pieces(&bytes) {
                match piece {
                    Piece::Text(text) => joined.extend_from_slice(text.as_bytes()),
                    Piece::Bytes(bytes) => joined.extend_from_slice(bytes),
                }
            }
            prop_assert_eq!(joined, bytes);
        }
    }
}
