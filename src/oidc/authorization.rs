//! What is kept of an authorization while the browser is at the provider.

use std::fmt;

use rand::RngExt as _;
use zeroize::Zeroizing;

use crate::model::text::hex;

/// Random bytes in each text.
const BYTES: usize = 32;

/// The three random texts of one authorization, each of 256 bits. They are wiped when dropped, and no
/// output shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Comes back with the browser, and finds the authorization again (RFC 6749, section 10.12).
    pub state: Zeroizing<String>,
    /// Comes back in the ID token, and binds it to this authorization.
    pub nonce: Zeroizing<String>,
    /// Goes to the provider with the code; the browser has seen only its hash (RFC 7636).
    pub verifier: Zeroizing<String>,
}

impl Authorization {
    /// A new one. Nothing is asked of the provider.
    #[must_use]
    pub fn random() -> Self {
        Self {
            state: random(),
            nonce: random(),
            verifier: random(),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    rand::rng().fill(bytes.as_mut_slice());
    Zeroizing::new(hex(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_random_fit_for_pkce_and_not_shown() {
        let (one, other) = (Authorization::random(), Authorization::random());
        let texts = [&one, &other].map(|it| [&it.state, &it.nonce, &it.verifier]);
        let texts = texts.as_flattened();
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(text.len(), 64);
            assert!(texts.iter().skip(i + 1).all(|later| later != text));
        }
        assert_eq!(format!("{one:?}"), "Authorization(..)");
    }
}
