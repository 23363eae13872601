//! `rproxy worker`: started by `rproxy serve`. It has no other use, so the help does not list it.

use clap::Parser;

use super::global::Global;
use super::logging::{self, LogFormat};
use super::{Exit, Failure, preconditions, ui};
use crate::ipc::{OLDEST, can_follow};
use crate::monitor::WORKER;
use crate::worker;

/// The first argument.
pub(super) const NAME: &str = WORKER.command;

/// Serve clients for `rproxy serve`, which starts this
#[derive(Debug, Parser)]
#[command(name = "rproxy worker")]
pub(super) struct Cli {
    #[command(flatten)]
    global: Global,
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    /// Print the version of the protocol of the processes that it can take over, and stop
    #[arg(long)]
    protocol: bool,
    /// The version of the program that asks; the earliest does not say it
    #[arg(long, requires = "protocol", default_value_t = OLDEST, value_name = "VERSION")]
    from: u32,
}

impl Cli {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.protocol {
            return match can_follow(self.from) {
                true => ui::result(&format!("{}\n", self.from)),
                false => Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "cannot take over from version {} of the protocol",
                        self.from
                    ),
                )),
            };
        }
        let source = self.global.source();
        let loaded = source.load()?;
        logging::start(self.log_format)?;
        worker::work(&loaded.config, source).map_err(|error| {
            let hint = error.hint();
            preconditions::cannot_run(Exit::Failed, error, hint)
        })
    }
}
