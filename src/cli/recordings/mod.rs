//! `rproxy recordings`: list and export recordings.

mod export;
mod filter;
mod harmless;
mod locate;
mod ls;
mod read;

use super::{Context, Failure};

pub(super) use locate::{open, open_at};

/// List and export recordings
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RecordingsCommand {
    Ls(ls::RecordingsLsArgs),
    Export(export::RecordingsExportArgs),
}

impl RecordingsCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Ls(args) => args.run(context),
            Self::Export(args) => args.run(context),
        }
    }
}
