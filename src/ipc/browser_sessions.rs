//! The services for people who sign in in a browser: with a name, a password and a code at once, and then
//! with a token that the browser keeps. They are provided by the process that has the state.
//!
//! A caller can be controlled by an attacker. It can ask with the tokens that browsers have sent to it, and
//! with no others: a token is 256 random bits, and the state has only its hash. What is asked about other
//! sign-ins and keys is answered if they are those of the token's own user. Passwords take long to check:
//! they have a service of their own, so that nothing else waits for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::people::SecretText;

/// A request of a browser that has a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserSessionRequest {
    /// The address of the browser.
    pub client: SocketAddr,
    /// The token.
    pub token: SecretText,
    /// What is asked.
    pub ask: BrowserSessionQuestion,
}

/// What a browser asks that has a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserSessionQuestion {
    /// Who is signed in.
    Who,
    /// Ends this sign-in, or all of the person's.
    SignOut {
        /// All of the person's sign-ins, also those of ssh.
        everywhere: bool,
    },
    /// The hosts that the person may log in to.
    Hosts {
        /// Those whose names come after this one; empty for the first.
        after: String,
    },
    /// The person's keys, sign-ins and second factor.
    Account,
    /// Removes a registered key of the person, and ends the sign-ins with it.
    RemoveKey {
        /// SHA-256, as `ssh-keygen -l` prints it.
        fingerprint: String,
    },
    /// Ends one sign-in of the person.
    EndSignIn {
        /// Its id.
        id: Uuid,
    },
}

/// A request for which a password has to be checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserPasswordRequest {
    /// The address of the browser.
    pub client: SocketAddr,
    /// What is asked.
    pub ask: BrowserPasswordQuestion,
}

/// What is asked with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserPasswordQuestion {
    /// Signs a person in.
    SignIn {
        /// The name, as it was typed: it can be a password by mistake.
        name: SecretText,
        /// The password.
        password: SecretText,
        /// The one-time or recovery code; empty where none is needed.
        code: SecretText,
    },
    /// Changes the password of the person who has this token.
    ChangePassword {
        /// The token.
        token: SecretText,
        /// The password until now.
        password: SecretText,
        /// The one-time or recovery code; empty where none is needed.
        code: SecretText,
        /// The new password.
        new: SecretText,
    },
}

/// The answer to [`BrowserSessionRequest`] and [`BrowserPasswordRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserSessionAnswer {
    /// To [`BrowserPasswordQuestion::SignIn`].
    SignedIn {
        /// The token, which is told this once.
        token: SecretText,
        /// The sign-in.
        session: BrowserSession,
    },
    /// To [`BrowserSessionQuestion::Who`].
    Session(BrowserSession),
    /// To [`BrowserSessionQuestion::Hosts`].
    Hosts(BrowserHosts),
    /// To [`BrowserSessionQuestion::Account`].
    Account(Box<BrowserAccount>),
    /// It is done.
    Done,
    /// It was refused.
    Refused(BrowserSessionRefusal),
}

/// A sign-in in a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserSession {
    /// Its id.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The roles that the state gives the person.
    pub roles: Vec<String>,
    /// When it began, in seconds since the epoch.
    pub started: u64,
    /// When it ends, in seconds since the epoch.
    pub expires: u64,
}

/// Some of the hosts that a person may log in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserHosts {
    /// The hosts, by their names.
    pub hosts: Vec<BrowserHost>,
    /// The name to go on after; `None` if these were the last.
    pub next: Option<String>,
}

/// A host that a person may log in to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserHost {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The logins, or patterns of them where the person has no list of logins.
    pub logins: Vec<String>,
    /// Whether a host that has joined is online; `None` for one of the configuration.
    pub is_online: Option<bool>,
}

/// What a person reads about the own account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserAccount {
    /// The person's name.
    pub name: String,
    /// The roles that the state gives the person.
    pub roles: Vec<String>,
    /// The registered keys, the oldest first.
    pub keys: Vec<BrowserKey>,
    /// The newest sign-ins, the oldest of them first.
    pub sign_ins: Vec<BrowserAccountSignIn>,
    /// Whether the account has one-time codes.
    pub has_codes: bool,
    /// Whether the configuration asks for a code beside the password.
    pub needs_code: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: u64,
}

/// A registered key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserKey {
    /// SHA-256, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// What helps the person to tell it from others.
    pub comment: String,
    /// When it was registered, in seconds since the epoch.
    pub registered: u64,
    /// When the person has last signed in with it, in seconds since the epoch.
    pub used: Option<u64>,
}

/// One of a person's sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserAccountSignIn {
    /// Its id.
    pub id: Uuid,
    /// The fingerprint of its key; `None` for one in a browser.
    pub fingerprint: Option<String>,
    /// The address of the client.
    pub client: String,
    /// When it began, in seconds since the epoch.
    pub started: u64,
    /// When it ends, in seconds since the epoch.
    pub expires: u64,
    /// Whether it is the one of the token.
    pub is_this: bool,
}

/// Why a browser is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowserSessionRefusal {
    /// Of which kind it is.
    pub kind: BrowserSessionRefusalKind,
    /// The stable name.
    pub reason: String,
    /// What the person reads.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserSessionRefusalKind {
    /// There is no sign-in with this token, or it is over.
    NotSignedIn,
    /// The name, the password or the code is wrong.
    Wrong,
    /// The person may not do it, whatever is typed.
    Forbidden,
    /// The person has no such thing.
    Missing,
    /// What was typed can never be right.
    Unfit,
    /// It is not looked at for this many seconds.
    Throttled(u64),
    /// It cannot be decided now.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{ServiceRequest, decode, encode};

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn requests_fit_and_show_no_secret() {
        let client = "[2001:db8::7]:50000".parse().unwrap();
        let sign_in = BrowserPasswordQuestion::SignIn {
            name: secret("name-of-it"),
            password: secret(&"\u{1}of-it".repeat(256)),
            code: secret("code-of-it"),
        };
        let change = BrowserPasswordQuestion::ChangePassword {
            token: secret("token-of-it"),
            password: secret("password-of-it"),
            code: secret("code-of-it"),
            new: secret("new-of-it"),
        };
        let passwords = [sign_in, change].map(|ask| {
            let request = BrowserPasswordRequest { client, ask };
            ServiceRequest::from(request)
        });
        let who = ServiceRequest::from(BrowserSessionRequest {
            client,
            token: secret("token-of-it"),
            ask: BrowserSessionQuestion::Who,
        });
        for request in passwords.into_iter().chain([who]) {
            let bytes = encode(&request).unwrap();
            assert!(bytes.len() < request.service().max_request());
            assert_eq!(decode::<ServiceRequest>(&bytes).unwrap(), request);
            let shown = format!("{request:?}");
            assert!(!shown.contains("of-it"), "{shown}");
        }
    }
}
