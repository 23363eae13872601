//! `rproxy web-service`: started by `rproxy serve`. It has no other use, so the help does not list it.

use clap::Parser;

use super::global::Global;
use super::logging::{self, LogFormat};
use super::{Exit, Failure, preconditions};
use crate::monitor::WEB;
use crate::web_service;

/// The first argument.
pub(super) const NAME: &str = WEB.command;

/// Serve the web for `rproxy serve`, which starts this
#[derive(Debug, Parser)]
#[command(name = "rproxy web-service")]
pub(super) struct WebServiceArgs {
    #[command(flatten)]
    global: Global,
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

impl WebServiceArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = self.global.source();
        let loaded = source.load()?;
        logging::start(self.log_format)?;
        web_service::work(&loaded.config, source).map_err(|error| {
            let hint = error.hint();
            preconditions::cannot_run(Exit::Failed, error, hint)
        })
    }
}
