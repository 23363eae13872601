//! Labels of nodes: `key=value`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::text::{is_printable, is_unsafe};

/// Why a text is not a label.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a label: expected key=value")]
pub struct LabelError(String);

/// One label of a node, as in the inventory and as in a target (`ssh env=prod`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Label {
    /// What stands before the first `=`; never empty.
    pub key: String,
    /// What stands after it; may be empty.
    pub value: String,
}

impl Label {
    /// Whether a node's label can have this key: what a target can name before its first `=`. Not empty, and
    /// without white space, `=`, control and invisible characters.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let is_bad = |c: char| is_unsafe(c) || c.is_whitespace() || c == '=';
        !text.is_empty() && !text.contains(is_bad)
    }

    /// The label as one of several in a text for people: in quotes if it could be read as more than one. A
    /// host chooses its labels itself, and could otherwise seem to have labels that it does not have.
    #[must_use]
    pub fn listed(&self) -> String {
        let label = self.to_string();
        match label.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '"')) {
            true => format!("{label:?}"),
            false => label,
        }
    }

    /// Whether a node's label can have this value: without control and invisible characters.
    #[must_use]
    pub fn is_value(text: &str) -> bool {
        is_printable(text)
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(LabelError(text.to_owned())),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_in_a_list_cannot_pass_for_two() {
        for (label, listed) in [
            ("env=prod", "env=prod"),
            ("a=", "a="),
            ("zone=a,role=db", "\"zone=a,role=db\""),
            ("zone=a role=db", "\"zone=a role=db\""),
            ("zone=\"", "\"zone=\\\"\""),
        ] {
            let label: Label = label.parse().unwrap();
            assert_eq!(label.listed(), listed);
        }
    }

    #[test]
    fn keys_and_values_show_what_they_are() {
        for key in ["env", "a.b/c", "Größe"] {
            assert!(Label::is_key(key), "{key:?}");
        }
        for key in ["", "a b", "a=b", "a\n", "a\u{202e}", "\u{200b}"] {
            assert!(!Label::is_key(key), "{key:?}");
        }
        assert!(Label::is_value("") && Label::is_value("a = b"));
        assert!(!Label::is_value("a\tb") && !Label::is_value("\u{feff}"));
    }
}
