//! A session that is about to be recorded.

use crate::model::SessionKind;
use crate::recording::{self, Verbatim};
use crate::relay::{Kind, Start};

/// A session that is about to be recorded.
pub(super) struct RecordingStart {
    pub(super) kind: SessionKind,
    pub(super) command: Option<Verbatim>,
    pub(super) pty: Option<recording::Pty>,
}

impl RecordingStart {
    /// A session that a client requests.
    pub(super) fn of(start: &Start) -> Self {
        Self {
            kind: match start.kind {
                Kind::Shell => SessionKind::Shell,
                Kind::Exec(_) => SessionKind::Exec,
                Kind::Subsystem(_) => SessionKind::Subsystem,
            },
            command: command(&start.kind),
            pty: start.pty.as_ref().map(|pty| recording::Pty {
                term: pty.term.as_ref().into(),
                cols: pty.columns,
                rows: pty.rows,
            }),
        }
    }

    /// The command, made safe to print.
    pub(super) fn command_text(&self) -> Option<String> {
        let command = self.command.as_ref();
        command.map(|command| command.text().into_owned())
    }

    /// The forwarded channels of a connection.
    pub(super) fn of_forwards() -> Self {
        Self {
            kind: SessionKind::Forward,
            command: None,
            pty: None,
        }
    }
}

/// The command line or the subsystem's name.
fn command(kind: &Kind) -> Option<Verbatim> {
    match kind {
        Kind::Shell => None,
        Kind::Exec(command) | Kind::Subsystem(command) => Some(command.as_ref().into()),
    }
}
