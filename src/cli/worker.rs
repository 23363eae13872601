//! `rproxy worker`: what `rproxy serve` starts. It is of no other use, so it is not shown.

use clap::Parser;

use super::logging::{self, LogFormat};
use super::{Exit, Failure, Global, preconditions, ui};
use crate::config::Source;
use crate::{daemon, monitor};

/// The first argument.
pub(super) const NAME: &str = "worker";

/// Serve clients for `rproxy serve`, which starts this
#[derive(Debug, Parser)]
#[command(name = "rproxy worker")]
pub(super) struct Cli {
    #[command(flatten)]
    global: Global,
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    /// Print the version of what is said between the processes, and stop
    #[arg(long)]
    protocol: bool,
}

impl Cli {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.protocol {
            return ui::result(&format!("{}\n", monitor::VERSION));
        }
        let source = Source {
            file: self.global.config,
            data_dir: self.global.data_dir,
        };
        let loaded = source.load()?;
        logging::start(self.log_format)?;
        daemon::work(&loaded.config, source).map_err(|error| {
            let hint = error.hint();
            preconditions::cannot_run(Exit::Failed, error, hint)
        })
    }
}
