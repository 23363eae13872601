//! Which line of the configuration a decision goes by.

use std::fmt;
use std::sync::Arc;

/// A line of a role, to be cited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    role: String,
    file: Arc<str>,
    line: usize,
}

impl RuleRef {
    /// A line of `role` in the configuration `file`.
    pub(super) fn new(role: String, file: Arc<str>, line: usize) -> Self {
        Self { role, file, line }
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The configuration's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {}, {}:{}", self.role, self.file, self.line)
    }
}
