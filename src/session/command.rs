//! What an administrator may want of a live connection, and the words that its user reads then.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::SessionId;
use crate::model::text::{self, MAX_REASON};

/// End a session, or the whole connection.
#[derive(Clone, Debug)]
pub struct SessionCommand {
    /// The session; `None` for the connection with all that runs on it.
    pub session: Option<SessionId>,
    /// The administrator's account, for the recording.
    pub by: String,
    /// Why, for the user and for the recording.
    pub reason: Option<Reason>,
}

impl SessionCommand {
    /// What the user reads, without the proxy's name and an id.
    #[must_use]
    pub fn message(&self) -> String {
        let what = match self.session {
            Some(_) => "an administrator ended this session",
            None => "an administrator ended this connection",
        };
        self.with_reason(what.to_owned())
    }

    /// What stands in the recording.
    #[must_use]
    pub fn marker(&self) -> String {
        self.with_reason(format!("ended by {}", self.by))
    }

    fn with_reason(&self, text: String) -> String {
        match &self.reason {
            Some(reason) => format!("{text}: {reason}"),
            None => text,
        }
    }
}

/// Why a session is ended: one line of text that is safe on any terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// Why a text cannot be a [`Reason`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ReasonError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`MAX_REASON`] bytes.
    #[error("it is longer than {MAX_REASON} bytes")]
    TooLong,
    /// It has a character that would act on the user's terminal.
    #[error("it has a line break, or another control or invisible character in it")]
    Control,
}

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        if text.is_empty() {
            Err(ReasonError::Empty)
        } else if text.len() > MAX_REASON {
            Err(ReasonError::TooLong)
        } else if !text::is_printable(text) {
            Err(ReasonError::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, ReasonError> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_is_safe_on_a_terminal() {
        let reason: Reason = " laptop lost \n".parse().unwrap();
        assert_eq!(reason.to_string(), "laptop lost");
        for (text, error) in [
            (" \t", ReasonError::Empty),
            ("a\u{1b}[2J", ReasonError::Control),
            ("a\nb", ReasonError::Control),
            ("a\u{9b}b", ReasonError::Control),
            (&"é".repeat(251), ReasonError::TooLong),
        ] {
            assert_eq!(text.parse::<Reason>(), Err(error));
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Reason>(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_user_reads_why() {
        let mut order = SessionCommand {
            session: Some(SessionId::new()),
            by: "root".to_owned(),
            reason: Some("lunch".parse().unwrap()),
        };
        assert_eq!(
            order.message(),
            "an administrator ended this session: lunch"
        );
        assert_eq!(order.marker(), "ended by root: lunch");
        (order.session, order.reason) = (None, None);
        assert_eq!(order.message(), "an administrator ended this connection");
    }
}
