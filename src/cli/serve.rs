//! `rproxy serve`: runs the proxy, or checks whether it could run.

use std::ffi::OsString;
use std::path::Path;

use clap::ValueEnum;

use crate::config::{self, Source};
use crate::ipc::VERSION;
use crate::model::text;
use crate::monitor::{self, ChildArgs, MonitorError, WORKER};
use crate::sys::process;

use super::logging::{self, LogFormat};
use super::{Context, Exit, Failure, inventory, preconditions, ui};

/// Run the proxy
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Check the configuration, and what else serve needs to start, and stop: exit code 0 if all is well,
    /// 78 if not
    #[arg(long)]
    check: bool,
    /// Print the configuration in force, defaults included, and stop
    #[arg(long, conflicts_with = "check")]
    print_config: bool,
    /// Run with the defaults if there is no configuration file; without this, that is an error
    #[arg(long)]
    defaults: bool,
    /// How log lines look on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

impl ServeArgs {
    pub(crate) fn run(self, context: &Context, source: Source) -> Result<(), Failure> {
        let source = source.settled();
        if !self.print_config {
            self.check_file(&source)?;
        }
        if self.check || self.print_config {
            for warning in inventory::that_hold(&context.config, &context.warnings) {
                ui::note(&warning.to_string());
            }
        }
        if self.check {
            for warning in preconditions::strangers(&context.config) {
                ui::note(&warning);
            }
            preconditions::names_in_both(&context.config)?;
            preconditions::rehearse(&context.config)?;
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
        match &source.file {
            Some(file) => tracing::info!("the configuration is {}", text::path(file)),
            None => tracing::warn!(
                "there is no configuration file: the defaults are in force, and everybody with a \
                 certificate may go everywhere"
            ),
        }
        if let Err(error) = process::lock_memory() {
            tracing::warn!(
                %error,
                "memory cannot be locked: keys may get into swap; lift the limit of locked memory \
                 (LimitMEMLOCK=infinity), or keep the keys in an agent"
            );
        }
        let launch = launch(&source, self.log_format);
        monitor::serve(&context.config, &source, launch).map_err(|error| match error {
            // It has said it itself.
            MonitorError::NotStarted(..) => Failure::told(Exit::Failed),
            MonitorError::WorkerEnded(_) => {
                Failure::new(Exit::Failed, "the proxy does not run any more").because(error)
            }
            error => {
                let hint = error.hint();
                preconditions::cannot_run(Exit::Failed, error, hint)
            }
        })
    }
}

impl ServeArgs {
    /// A file with another name than was meant would otherwise be passed over, and with it every role.
    fn check_file(&self, source: &Source) -> Result<(), Failure> {
        if source.file.is_some() || self.defaults {
            return Ok(());
        }
        let failure = Failure::new(Exit::Configuration, "there is no configuration file")
            .because(format!(
                "{} is not there, and --config names none",
                config::DEFAULT_FILE
            ))
            .hint("name the file with --config, or add --defaults to run without one");
        let other = Path::new(config::DEFAULT_FILE).with_extension("yml");
        Err(match other.exists() {
            true => failure.hint(format!("there is {}: rename it", text::path(&other))),
            false => failure,
        })
    }
}

fn start_log() -> Result<(), Failure> {
    let started = crate::sys::log::start();
    started.map_err(|error| Failure::new(Exit::Internal, "cannot start logging").because(error))
}

/// The arguments of the monitor's children: the same configuration, from the same source.
fn launch(source: &Source, format: LogFormat) -> ChildArgs {
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
    ChildArgs {
        flags: with(&["--log-format", format]),
        check: with(match source.file {
            Some(_) => &["serve", "--check"],
            None => &["serve", "--check", "--defaults"],
        }),
        version: vec![
            WORKER.command.into(),
            "--protocol".into(),
            format!("--from={VERSION}").into(),
        ],
    }
}
