//! `rproxy serve`: run the proxy, or say whether it would run.

use crate::config::Source;
use crate::{config, daemon};

use super::logging::{self, Format};
use super::{Context, Exit, Failure, ui};

/// Run the proxy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check the configuration and stop: exit code 0 if it is good, 78 if not
    #[arg(long)]
    check: bool,
    /// Print the configuration in force, defaults included, and stop
    #[arg(long, conflicts_with = "check")]
    print_config: bool,
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    log_format: Format,
}

impl Args {
    pub(crate) fn run(self, context: &Context, source: Source) -> Result<(), Failure> {
        if self.check || self.print_config {
            for warning in &context.warnings {
                ui::note(&warning.to_string());
            }
        }
        if self.check {
            ui::note("configuration ok");
            return Ok(());
        }
        if self.print_config {
            return ui::result(&config::to_yaml(&context.config));
        }
        logging::start(self.log_format)?;
        for warning in &context.warnings {
            tracing::warn!(target: "config", "{}", warning.headline());
        }
        daemon::serve(&context.config, source.settled()).map_err(|error| {
            let hint = error.hint();
            let failure = Failure::new(Exit::Failed, "the proxy cannot run").because(error);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })
    }
}
