//! The service that tells a browser where a person signs in, and which code to type into the terminal
//! that has asked for it. It is provided by the process that has the state.
//!
//! A caller can be controlled by an attacker, and anybody can open a link. So a link and what the
//! identity provider has sent with the browser are looked up and checked where they are answered,
//! each is of use once, and a code alone signs in nobody: the terminal that has asked has to prove a
//! key as well.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::people::SecretText;

/// A request of a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserRequest {
    /// The address of the browser.
    pub client: IpAddr,
    /// What is asked.
    pub ask: BrowserQuestion,
}

/// What a browser asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserQuestion {
    /// Opens the link that a terminal shows.
    Open {
        /// The last part of the link's path.
        ticket: SecretText,
    },
    /// Comes back from the identity provider (RFC 6749 section 4.1.2).
    Returned {
        /// What [`BrowserAnswer::Redirect`] has given along.
        state: SecretText,
        /// The authorization code, if the provider has agreed.
        code: Option<SecretText>,
        /// The provider's error code, if it has not (RFC 6749 section 4.1.2.1).
        error: Option<String>,
        /// The provider's name for itself, if it says it (RFC 9207).
        iss: Option<String>,
    },
}

/// The answer to [`BrowserRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserAnswer {
    /// To [`BrowserQuestion::Open`]: the browser has to go to this page of the identity provider.
    Redirect {
        /// The page. It contains secrets of this authorization.
        url: String,
    },
    /// To [`BrowserQuestion::Returned`]: the person has to type a code into the terminal that asked.
    Code {
        /// The code, as it is shown.
        code: SecretText,
        /// The person, as the identity provider names them.
        name: String,
        /// The address that the connection of the terminal comes from.
        terminal: IpAddr,
    },
    /// It was refused.
    Refused(BrowserRefusal),
}

/// Why a browser is refused, for the person who reads the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserRefusal {
    /// What has happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ServiceRequest, decode, encode};

    #[test]
    fn a_browsers_requests_fit_and_show_no_secret() {
        let secret = |text: &str| SecretText::new(text.to_owned());
        let returned = BrowserQuestion::Returned {
            state: secret("state-of-it"),
            code: Some(secret(&"c".repeat(4_096))),
            error: None,
            iss: Some("https://id.example.com".to_owned()),
        };
        let opened = BrowserQuestion::Open {
            ticket: secret("ticket-of-it"),
        };
        for ask in [returned, opened] {
            let client = "2001:db8::7".parse().unwrap();
            let request = ServiceRequest::from(BrowserRequest { client, ask });
            let bytes = encode(&request).unwrap();
            assert!(bytes.len() < request.service().max_request());
            assert_eq!(decode::<ServiceRequest>(&bytes).unwrap(), request);
            let shown = format!("{request:?}");
            assert!(!shown.contains("of-it"), "{shown}");
        }
    }
}
