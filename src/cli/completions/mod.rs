//! `rproxy completions`: prints completion scripts for shells.
//!
//! The scripts are those of clap, with a call of `rproxy complete` inserted, because names and ids
//! are only known when the user types.

use std::fmt::Write as _;

use clap::Command;
use clap_complete::Shell;

use super::complete::CompletionKind;
use super::{Exit, Failure, ui};

/// Print a script that completes this command line in a shell
///
/// Load it from the shell's start-up file, as in `source <(rproxy completions bash)`, or put it where the
/// shell looks for completions. Names of hosts and people, and ids of recordings, are completed from the
/// configuration and the data directory, as far as whoever types may read them.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    /// `cli` is the command line that the script completes.
    pub(crate) fn run(self, cli: &Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        let mut shown = shown(cli);
        clap_complete::generate(self.shell, &mut shown, "rproxy", &mut script);
        let failed = || {
            Failure::new(
                Exit::Internal,
                format!("cannot make the script for {}", self.shell),
            )
        };
        let script = String::from_utf8(script).map_err(|error| failed().because(error))?;
        shown.build();
        let script = asking(self.shell, &script, &shown).ok_or_else(failed)?;
        ui::result(&script)
    }
}

/// The command line without what is hidden, which clap's scripts would show.
fn shown(command: &Command) -> Command {
    let mut copy = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().cloned())
        .disable_help_subcommand(true)
        .subcommands(
            command
                .get_subcommands()
                .filter(|below| !below.is_hide_set())
                .map(shown),
        );
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned()).propagate_version(true);
    }
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        copy = copy.long_about(about.clone());
    }
    copy
}

/// The script that asks `rproxy complete` first. `None` where clap's has another form than it had.
fn asking(shell: Shell, script: &str, shown: &Command) -> Option<String> {
    match shell {
        Shell::Bash => {
            let hook = include_str!("values.bash");
            let call = "    _rproxy_values \"$@\" && return 0\n";
            put_in(script, "_rproxy() {\n", hook, call)
        }
        Shell::Zsh => {
            let hook = include_str!("values.zsh");
            let call = "    _rproxy_values && return 0\n";
            put_in(script, "\n_rproxy() {\n", hook, call)
        }
        Shell::PowerShell => {
            let head = "    param($wordToComplete, $commandAst, $cursorPosition)\n";
            put_in(script, head, "", include_str!("values.ps1"))
        }
        Shell::Fish => {
            let mut script = script.to_owned() + include_str!("values.fish");
            for flag in flags_with_values(shown) {
                // What stands before the `=` of --flag=value is not completed.
                let _infallible = writeln!(
                    script,
                    "complete -c rproxy -n \"__fish_rproxy_values >/dev/null\" -l {flag} -x \
                     -a \"(__fish_rproxy_values | string replace -r '^--[^=]*=' '')\""
                );
            }
            Some(script)
        }
        _ => Some(script.to_owned()),
    }
}

/// `before` in front of a line, `after` behind it.
fn put_in(script: &str, line: &str, before: &str, after: &str) -> Option<String> {
    let (head, rest) = script.split_once(line)?;
    let indent = line.strip_prefix('\n').map_or("", |_| "\n");
    let line = line.trim_start_matches('\n');
    Some(format!("{head}{indent}{before}{line}{after}{rest}"))
}

/// The flags whose values `rproxy complete` knows, each once.
fn flags_with_values(command: &Command) -> Vec<&str> {
    let mut flags: Vec<_> = command
        .get_arguments()
        .filter(|argument| CompletionKind::of(argument).is_some())
        .filter_map(clap::Arg::get_long)
        .chain(command.get_subcommands().flat_map(flags_with_values))
        .collect();
    flags.sort_unstable();
    flags.dedup();
    flags
}
