//! The secret with which this program proves to the provider which client it is.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::text::is_printable;

/// Longest secret, in bytes.
const MAX: usize = 4096;

/// The secret of a client. It is wiped when dropped, and no output shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Zeroizing<String>);

/// Why a text is no secret of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientSecretError {
    /// There is none.
    #[error("the file is empty: it has to contain the client secret on one line")]
    Empty,
    /// It has more than one line, or characters that cannot be typed.
    #[error("the file has to contain the client secret on one line of up to {MAX} bytes")]
    NotOneLine,
}

impl ClientSecret {
    /// The secret in the text of a file: its only line.
    ///
    /// # Errors
    /// If there is none, or more than one line.
    pub fn parse(text: &str) -> Result<Self, ClientSecretError> {
        let secret = text.trim();
        if secret.is_empty() {
            return Err(ClientSecretError::Empty);
        }
        if secret.len() > MAX || !is_printable(secret) {
            return Err(ClientSecretError::NotOneLine);
        }
        Ok(Self(Zeroizing::new(secret.to_owned())))
    }

    /// The secret itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_is_not_shown() {
        let secret = ClientSecret::parse(" s3cret/=+ \n").unwrap();
        assert_eq!(secret.expose(), "s3cret/=+");
        assert_eq!(format!("{secret:?}"), "ClientSecret(..)");
        assert_eq!(ClientSecret::parse("\n"), Err(ClientSecretError::Empty));
        for wrong in ["a\nb", "a\u{202e}b", &"a".repeat(MAX + 1)] {
            let error = ClientSecret::parse(wrong);
            assert_eq!(error, Err(ClientSecretError::NotOneLine));
        }
    }
}
