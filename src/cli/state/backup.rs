//! `rproxy state backup`.

use std::path::PathBuf;

use super::opening::{check, open, summary};
use super::stored::state_failure;
use super::{Context, Failure};

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
        state.backup(&self.file).map_err(failed)?;
        let status = check(&state)?;
        Ok(format!("Wrote {file}: {}\n", summary(&status)))
    }
}
