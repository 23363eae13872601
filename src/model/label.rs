//! Labels of nodes: `key=value`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

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
