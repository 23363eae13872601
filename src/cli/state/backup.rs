//! `rproxy state backup`.

use std::path::PathBuf;

use super::opening::{check, open, summary};
use super::stored::state_failure;
use super::{Context, Failure, auditing};
use crate::audit::AuditEvent;
use crate::sys::account::Actor;

/// Write a backup of the state
///
/// The proxy can run meanwhile: the backup has the state of one moment. It is a file of SQLite, whichever
/// database the state is in. It contains secrets: password hashes, and the secrets of second factors.
/// Only its owner can read it. The CA keys and the recordings are not in it.
#[derive(Debug, clap::Args)]
pub(crate) struct StateBackupArgs {
    /// The file, which must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl StateBackupArgs {
    pub(super) fn write(&self, context: &Context) -> Result<String, Failure> {
        let state = open(context)?;
        let file = self.file.display();
        let failed = |error| state_failure(&format!("cannot write the backup {file}"), error);
        let event = AuditEvent::StateCopied {
            how: "backup",
            to: file.to_string(),
            actor: Actor::of_this_process(),
        };
        auditing::before(
            context,
            "no backup is written: the audit log cannot say who has it",
            &event,
        )?;
        state.backup(&self.file).map_err(failed)?;
        let status = check(&state)?;
        Ok(format!("Wrote {file}: {}\n", summary(&status)))
    }
}
