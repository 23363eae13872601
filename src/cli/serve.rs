//! `rproxy serve`: run the proxy, or say whether it would run.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::config::{self, Source};
use crate::monitor::{self, Launch, MonitorError};

use super::logging::{self, Format};
use super::{Context, Exit, Failure, ui, worker};

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
        start_log()?;
        for warning in &context.warnings {
            tracing::warn!(target: "config", "{}", warning.headline());
        }
        let source = source.settled();
        let launch = launch(&source, self.log_format);
        monitor::serve(&context.config, &source, launch).map_err(|error| match error {
            // It has said it itself.
            MonitorError::NotStarted(_) => Failure::told(Exit::Failed),
            MonitorError::WorkerEnded(_) => {
                Failure::new(Exit::Failed, "the proxy does not run any more").because(error)
            }
            error => {
                let hint = error.hint();
                let failure = Failure::new(Exit::Failed, "the proxy cannot run").because(error);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
        })
    }
}

fn start_log() -> Result<(), Failure> {
    let started = crate::sys::log::start();
    started.map_err(|error| Failure::new(Exit::Internal, "cannot start logging").because(error))
}

/// What the monitor's children are told: the same configuration, from the same place.
fn launch(source: &Source, format: Format) -> Launch {
    let mut flags: Vec<OsString> = Vec::new();
    for (flag, value) in [("--config", &source.file), ("--data-dir", &source.data_dir)] {
        if let Some(value) = value {
            flags.extend([flag.into(), value.into()]);
        }
    }
    let with = |args: &[&str]| {
        let mut all: Vec<OsString> = args.iter().map(OsString::from).collect();
        all.extend_from_slice(&flags);
        all
    };
    let format = format.to_possible_value();
    let format = format.as_ref().map_or("text", |value| value.get_name());
    Launch {
        worker: with(&[worker::NAME, "--log-format", format]),
        check: with(&["serve", "--check"]),
        version: vec![worker::NAME.into(), "--protocol".into()],
    }
}
