//! How a command fails: what, why, what to do, and the exit code.
//!
//! Messages are lower case without a full stop. The first line says what failed, `caused by` lines
//! say why, `hint` lines say what to do.

use std::error::Error;
use std::fmt;
use std::io;

use crate::config::ConfigError;

/// Exit codes, as documented in rproxy(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The operation failed, or nothing was found.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The proxy cannot be reached.
    Unreachable = 69,
    /// A bug.
    Internal = 70,
    /// Not permitted.
    NotPermitted = 77,
    /// The configuration is wrong.
    Configuration = 78,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Internal,
        Self::NotPermitted,
        Self::Configuration,
        Self::Interrupted,
    ];

    /// What it tells the program that started the command.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Failed => "The command failed, or found nothing.",
            Self::Usage => "The command line is wrong.",
            Self::Unreachable => "The proxy cannot be reached.",
            Self::Internal => "A bug. Please report it.",
            Self::NotPermitted => "Not permitted.",
            Self::Configuration => "The configuration is wrong.",
            Self::Interrupted => "Interrupted.",
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with its first line.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// A failure that the result has told already: nothing more is printed.
    pub fn told(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Whether there is anything to print.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Adds the error that led to it; its sources are printed too.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// The whole text that the user reads, without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rproxy: {}", self.message)?;
        let mut cause = self.source.as_deref().map(|e| e as &dyn Error);
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        match self.hints.is_empty() && self.is_denied() {
            true => write!(
                f,
                "\n  hint: {}",
                denied_hint(rustix::process::geteuid().is_root())
            ),
            false => Ok(()),
        }
    }
}

impl Failure {
    /// Whether the operating system has denied something.
    fn is_denied(&self) -> bool {
        let mut cause = self.source.as_deref().map(|e| e as &dyn Error);
        while let Some(error) = cause {
            let error_of_system = error.downcast_ref::<io::Error>();
            if error_of_system.is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// What to do where this account may not.
fn denied_hint(is_root: bool) -> &'static str {
    if is_root {
        "root is denied too: look at the mount's options, at attributes (lsattr) and at SELinux or AppArmor"
    } else {
        "run it as root, or as the account that runs the proxy"
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let failure = Self::new(Exit::Configuration, error.to_string());
        let failure = match &error {
            ConfigError::NoDataDir => failure.hint("name one with --data-dir or RPROXY_DATA_DIR"),
            ConfigError::NoClusterName(_) => failure.hint("set cluster_name in the configuration"),
            _ => failure,
        };
        match error {
            ConfigError::Read(source) => failure.because(source),
            ConfigError::Encoding { source, .. } => failure.because(source),
            ConfigError::NoClusterName(source) => failure.because(source),
            ConfigError::Invalid { .. } | ConfigError::NoDataDir => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_denial_says_who_may() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = Failure::new(Exit::Failed, "cannot read").because(denied());
        let root = rustix::process::geteuid().is_root();
        let hint = format!("\n  hint: {}", denied_hint(root));
        assert!(failure.to_string().ends_with(&hint), "{failure}");
        assert_ne!(denied_hint(true), denied_hint(false));
        let deeper = crate::sys::fs::FsError::io("read", Path::new("/x"))(denied());
        let failure = Failure::new(Exit::Failed, "cannot read").because(deeper);
        assert!(failure.to_string().ends_with(&hint), "{failure}");
        let failure = failure.hint("ask somebody");
        assert!(
            failure.to_string().ends_with("hint: ask somebody"),
            "{failure}"
        );
        let other = Failure::new(Exit::Failed, "cannot read").because(io::Error::other("x"));
        assert!(!other.to_string().contains("hint"), "{other}");
    }

    #[test]
    fn causes_and_hints_follow_the_message() {
        let failure = Failure::new(Exit::Failed, "cannot sign")
            .because(io::Error::other("disk on fire"))
            .hint("put it out");
        assert_eq!(
            failure.to_string(),
            "rproxy: cannot sign\n  caused by: disk on fire\n  hint: put it out"
        );
    }
}
