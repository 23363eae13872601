//! What a session is: a shell, a command, a subsystem, or forwards.

use serde::{Deserialize, Serialize};

/// What a session is, in recordings, in the audit log and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    /// A login shell.
    Shell,
    /// One command.
    Exec,
    /// A subsystem, such as sftp.
    Subsystem,
    /// The forwarded channels of a connection.
    Forward,
}

impl SessionKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Shell, Self::Exec, Self::Subsystem, Self::Forward];

    /// The word for it, as it is serialized too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Exec => "exec",
            Self::Subsystem => "subsystem",
            Self::Forward => "forward",
        }
    }
}
