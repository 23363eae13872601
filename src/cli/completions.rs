//! `rproxy completions`: what shells complete.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure, ui};

/// Print a script that completes this command line in a shell
///
/// Load it from the shell's start-up file, as in `source <(rproxy completions bash)`, or put it where the
/// shell looks for completions.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "rproxy", &mut script);
        ui::result_bytes(&script)
    }
}
