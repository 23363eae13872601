//! The command line: one file per command; one place prints, and one handles failures.
//!
//! Results go to standard output, everything else to standard error (`ui`).

mod auditing;
mod auth;
mod auth_service;
mod complete;
mod completions;
mod config;
mod context;
mod doctor;
mod explain;
mod failure;
mod fleet;
mod format;
mod global;
mod help;
mod host;
mod host_files;
mod init;
mod inventory;
mod logging;
mod man;
mod nodes;
mod passphrase;
mod play;
mod preconditions;
mod recordings;
mod running;
mod serve;
mod sessions;
mod signals;
mod state;
mod stored;
mod table;
mod tokens;
mod ui;
mod users;
mod web_service;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Source;
use crate::sys::process;

use global::Global;

pub(crate) use context::{Context, existing_data_dir};
pub use doctor::table as doctor_checks;
pub use failure::{Exit, Failure};

/// Record SSH sessions to stock sshd, and manage the certificates around them
#[derive(Debug, Parser)]
#[command(
    name = "rproxy",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Configured(Configured),
    #[command(flatten)]
    Alone(Alone),
}

/// Commands that go by the configuration.
#[derive(Debug, Subcommand)]
enum Configured {
    Serve(serve::ServeArgs),
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    Config(config::ConfigArgs),
    Explain(explain::ExplainArgs),
    #[command(subcommand)]
    Host(host::HostCommand),
    #[command(subcommand)]
    Nodes(nodes::NodesCommand),
    #[command(subcommand)]
    Recordings(recordings::RecordingsCommand),
    Play(play::PlayArgs),
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    #[command(subcommand)]
    State(state::StateCommand),
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    #[command(subcommand)]
    Users(users::UsersCommand),
    Reload(running::Reload),
    Upgrade(running::Upgrade),
    Stop(running::Stop),
}

/// Commands that work where there is no configuration, or a bad one.
#[derive(Debug, Subcommand)]
enum Alone {
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
    Doctor(doctor::DoctorArgs),
    Help(help::HelpArgs),
    Init(init::InitArgs),
    Man(man::ManArgs),
    Version(help::Version),
}

/// Runs one command line and says how it went.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Before there is a key in it.
    if let Err(error) = process::close_memory() {
        ui::note(&format!(
            "core dumps of this process may hold keys: {error}"
        ));
    }
    // Not for people: neither the help nor the shells know of it.
    let first = args.get(1).map(OsString::as_os_str);
    let done = if first.is_some_and(|first| first == worker::NAME) {
        worker::Cli::try_parse_from(args.into_iter().skip(1)).map(worker::Cli::run)
    } else if first.is_some_and(|first| first == auth_service::NAME) {
        auth_service::Cli::try_parse_from(args.into_iter().skip(1)).map(auth_service::Cli::run)
    } else if first.is_some_and(|first| first == web_service::NAME) {
        web_service::WebServiceArgs::try_parse_from(args.into_iter().skip(1))
            .map(web_service::WebServiceArgs::run)
    } else {
        Cli::try_parse_from(args).map(dispatch)
    };
    crate::sys::log::flush();
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => ui::failure(&failure),
        Err(usage) => ui::usage(&usage),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let source = cli.global.source();
    match cli.command {
        Command::Configured(command) => {
            let loaded = source.load()?;
            let context = Context {
                config: loaded.config,
                warnings: loaded.warnings,
            };
            command.run(&context, source)
        }
        Command::Alone(Alone::Completions(args)) => args.run(&Cli::command()),
        Command::Alone(Alone::Complete(args)) => args.run(Cli::command(), source),
        Command::Alone(Alone::Doctor(args)) => args.run(&source),
        Command::Alone(Alone::Help(args)) => args.run(Cli::command()),
        Command::Alone(Alone::Init(args)) => args.run(&source),
        Command::Alone(Alone::Man(args)) => args.run(Cli::command()),
        Command::Alone(Alone::Version(version)) => version.run(&Cli::command()),
    }
}

impl Configured {
    /// `source` is for commands that read the configuration again.
    fn run(self, context: &Context, source: Source) -> Result<(), Failure> {
        if matches!(
            self,
            Self::Auth(_) | Self::Host(_) | Self::State(_) | Self::Tokens(_) | Self::Users(_)
        ) {
            // Keys, invitations and tokens are in memory for a moment. An ordinary user may have no right to it.
            let _unlocked = process::lock_memory();
        }
        match self {
            Self::Serve(args) => args.run(context, source),
            Self::Auth(command) => command.run(context),
            Self::Config(args) => args.run(context),
            Self::Explain(args) => args.run(context),
            Self::Host(command) => command.run(context),
            Self::Recordings(command) => command.run(context),
            Self::Play(args) => args.run(context),
            Self::Sessions(command) => command.run(context),
            Self::Nodes(command) => command.run(context),
            Self::Tokens(command) => command.run(context),
            Self::Users(command) => command.run(context),
            Self::Reload(args) => args.run(context),
            Self::Upgrade(args) => args.run(context),
            Self::State(command) => command.run(context),
            Self::Stop(args) => args.run(context),
        }
    }
}
