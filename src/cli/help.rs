//! `rproxy help` and `rproxy version`: what `--help` and `--version` print.

use clap::Command;

use super::{Exit, Failure, ui};

/// Print help for a command
#[derive(Debug, clap::Args)]
pub(crate) struct HelpArgs {
    /// The command, as in `rproxy help auth sign`
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Version {}

impl HelpArgs {
    /// `cli` is the command line that help is asked for.
    pub(crate) fn run(self, cli: Command) -> Result<(), Failure> {
        let words = std::iter::once("rproxy".to_owned())
            .chain(self.command)
            .chain(["--help".to_owned()]);
        match cli.try_get_matches_from(words) {
            Err(told) if told.use_stderr() => {
                ui::usage(&told);
                Err(Failure::told(Exit::Usage))
            }
            Err(help) => {
                ui::usage(&help);
                Ok(())
            }
            Ok(_) => Err(Failure::new(Exit::Internal, "there is no help for this")),
        }
    }
}

impl Version {
    pub(crate) fn run(self, cli: &Command) -> Result<(), Failure> {
        ui::result(&cli.render_version())
    }
}
