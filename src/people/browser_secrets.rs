//! What a browser brings: the last part of the link, what the provider gives back, and the code that the
//! person types, each of use for five minutes; and the token of a browser in which a person is signed in.
//! All of them are random or made of what is, and the state has hashes of them alone.

use rand::RngExt as _;
use ssh_key::HashAlg;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::typed_code;
use crate::model::text::hex;

/// Groups of the last part of a link, which has 80 bits.
const TICKET_GROUPS: usize = 4;
/// Groups of a code, which has 40 bits: it counts in the terminal that waits for it alone, and five times.
const CODE_GROUPS: usize = 2;
/// Bytes of the token of a browser.
const TOKEN: usize = 32;

/// The last part of a link, as it was made or came with a browser.
pub(super) struct Ticket(Zeroizing<String>);

impl Ticket {
    /// A new one, and its text for the link.
    pub(super) fn random() -> (Self, Zeroizing<String>) {
        let text = typed_code::random(TICKET_GROUPS);
        let canonical = typed_code::canonical(&text, TICKET_GROUPS);
        (Self(canonical.unwrap_or_default()), text)
    }

    /// The one of a link; `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        typed_code::canonical(text, TICKET_GROUPS).map(Self)
    }

    /// The hash by which its authorization is found.
    pub(super) fn hash(&self) -> String {
        hash("ticket", self.0.as_bytes())
    }

    /// What the provider has to give back. It is made of the ticket, so that a link that is opened twice
    /// leads to one authorization, and who only reads the state learns neither.
    pub(super) fn provider_state(&self) -> Zeroizing<String> {
        Zeroizing::new(hash("state", self.0.as_bytes()))
    }
}

/// What a browser keeps in which a person is signed in: 256 random bits.
pub(super) struct BrowserToken(Zeroizing<String>);

impl BrowserToken {
    /// A new one, and its text for the browser.
    pub(super) fn random() -> (Self, Zeroizing<String>) {
        let mut bytes = Zeroizing::new([0_u8; TOKEN]);
        rand::rng().fill(&mut *bytes);
        let text = Zeroizing::new(hex(&*bytes));
        (Self(text.clone()), text)
    }

    /// The one that a browser has sent; `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_token = text.len() == 2 * TOKEN && text.bytes().all(is_digit);
        is_token.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The hash by which its sign-in is found.
    pub(super) fn hash(&self) -> String {
        hash("session", self.0.as_bytes())
    }
}

/// The hash of what the provider gives back, by which the authorization is found.
pub(super) fn provider_state_hash(state: &str) -> String {
    hash("returned", state.as_bytes())
}

/// A new code of an authorization: its text, and its hash.
pub(super) fn new_browser_code(authorization: Uuid) -> (Zeroizing<String>, String) {
    let code = typed_code::random(CODE_GROUPS);
    let hash = browser_code_hash(authorization, &code);
    (code, hash.unwrap_or_default())
}

/// The hash of a code of an authorization, as it was typed. `None` for what is no code.
pub(super) fn browser_code_hash(authorization: Uuid, typed: &str) -> Option<String> {
    let code = typed_code::canonical(typed, CODE_GROUPS)?;
    let salted = Zeroizing::new([authorization.as_bytes().as_slice(), code.as_bytes()].concat());
    Some(hash("code", &salted))
}

/// SHA-256, in hexadecimal digits; no hash is one for another purpose.
fn hash(purpose: &str, secret: &[u8]) -> String {
    let all = Zeroizing::new([purpose.as_bytes(), b"\0", secret].concat());
    hex(&HashAlg::Sha256.digest(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_found_however_it_is_written_and_leads_to_one_state() {
        let (ticket, text) = Ticket::random();
        assert_eq!(text.len(), 19, "{text:?}");
        let again = Ticket::parse(&text.to_lowercase()).unwrap();
        assert_eq!(again.hash(), ticket.hash());
        assert_eq!(again.provider_state(), ticket.provider_state());
        let state = ticket.provider_state();
        let all = [
            ticket.hash(),
            state.to_string(),
            provider_state_hash(&state),
        ];
        assert!(all.iter().all(|hash| hash.len() == 64));
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_ne!(Ticket::random().0.hash(), ticket.hash());
        for wrong in ["", "AB2C", "../../etc/passwd", &"A".repeat(300)] {
            assert!(Ticket::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_browsers_token_is_256_random_bits_in_one_spelling() {
        let (token, text) = BrowserToken::random();
        assert_eq!(text.len(), 64);
        assert_eq!(BrowserToken::parse(&text).unwrap().hash(), token.hash());
        assert_ne!(token.hash(), *text);
        assert_ne!(BrowserToken::random().0.hash(), token.hash());
        let text = text.as_str();
        let (long, spaced) = (format!("{text}0"), format!(" {}", &text[1..]));
        let other = "é".repeat(32);
        for wrong in ["", &text[1..], &long, &spaced, &other, &"A".repeat(64)] {
            assert!(BrowserToken::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_code_is_that_of_one_authorization() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let (code, hash) = new_browser_code(one);
        assert_eq!(code.len(), 9, "{code:?}");
        let typed = code.to_lowercase().replace('-', " ");
        assert_eq!(browser_code_hash(one, &typed), Some(hash.clone()));
        assert_ne!(browser_code_hash(other, &code), Some(hash));
        assert_eq!(browser_code_hash(one, ""), None);
    }
}
