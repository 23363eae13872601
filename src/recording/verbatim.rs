//! A string of the wire, which is usually text (`FORMAT.md`, section 3).

use std::borrow::Cow;

use crate::model::text;

/// A string of the wire, byte for byte, and the text that people read in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verbatim(Vec<u8>);

impl Verbatim {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text: U+FFFD stands for what is no UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The bytes in hexadecimal, where they are not those of the text.
    #[must_use]
    pub fn hex(&self) -> Option<String> {
        match std::str::from_utf8(&self.0) {
            Ok(_) => None,
            Err(_) => Some(text::hex(&self.0)),
        }
    }

    /// Its first bytes, at most so many. No character is cut.
    #[must_use]
    pub(super) fn beginning(&self, most: usize) -> Self {
        let bytes = self.0.get(..most).unwrap_or(&self.0);
        let cut = self.0.len() - bytes.len();
        match std::str::from_utf8(bytes) {
            Err(error) if cut > 0 && error.error_len().is_none() => {
                bytes.get(..error.valid_up_to()).unwrap_or(bytes).into()
            }
            _ => bytes.into(),
        }
    }

    /// What a recording says: the text, and the bytes where it gives them. `None` where they are not
    /// in hexadecimal.
    pub(super) fn read(text: String, hex: Option<&str>) -> Option<Self> {
        match hex {
            None => Some(text.into()),
            Some(hex) => from_hex(hex).map(Self),
        }
    }
}

impl From<&[u8]> for Verbatim {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Verbatim {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&str> for Verbatim {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Verbatim {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// The bytes that hexadecimal stands for; `None` where it is none.
pub(super) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_hexadecimal_is_nothing() {
        for bad in ["0", "0g", "+1", "é", "0 "] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
        assert_eq!(from_hex(""), Some(Vec::new()));
        assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
    }

    #[test]
    fn a_beginning_cuts_no_character() {
        let beginning = |said: &[u8], most| Verbatim::from(said).beginning(most);
        assert_eq!(beginning("aé".as_bytes(), 2), "a".into());
        assert_eq!(beginning("aé".as_bytes(), 3), "aé".into());
        assert_eq!(beginning(b"a\xff\xfe", 2), b"a\xff"[..].into());
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let said = Verbatim::from(bytes.clone());
            let hex = said.hex();
            prop_assert_eq!(hex.is_none(), std::str::from_utf8(&bytes).is_ok());
            let read = Verbatim::read(said.text().into_owned(), hex.as_deref());
            prop_assert_eq!(read, Some(said));
        }
    }
}
