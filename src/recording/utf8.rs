//! Decodes UTF-8 across the boundaries of events.

/// Decodes UTF-8 piece by piece; what is none becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct Utf8Decoder {
    /// The beginning of a character, at most three bytes.
    partial: Vec<u8>,
}

impl Utf8Decoder {
    /// Decodes as far as characters are complete.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let complete = self.partial.len() - incomplete_len(&self.partial);
        let text = String::from_utf8_lossy(self.partial.get(..complete).unwrap_or_default());
        let text = text.into_owned();
        self.partial.drain(..complete);
        text
    }

    /// The beginning of a character whose end has not come.
    pub(super) fn rest(&self) -> &[u8] {
        &self.partial
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned()
    }
}

/// How many bytes at the end are the beginning of a character.
fn incomplete_len(bytes: &[u8]) -> usize {
    bytes.utf8_chunks().last().map_or(0, |chunk| {
        let tail = chunk.invalid();
        match std::str::from_utf8(tail) {
            Err(error) if error.error_len().is_none() => tail.len(),
            _ => 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            parts in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..4),
                    ".{0,2}".prop_map(String::into_bytes),
                ],
                0..12,
            ),
            size in 1..4usize,
        ) {
            let bytes = parts.concat();
            let mut decoder = Utf8Decoder::default();
            let mut text: String = bytes.chunks(size).map(|part| decoder.decode(part)).collect();
            text.push_str(&decoder.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
