//! `rproxy state migrate`.

use std::path::PathBuf;

use serde_json::Value;

use super::opening::{check, open, stop_others, summary};
use super::stored::state_failure;
use super::{Context, Exit, Failure, auditing, ui};
use crate::audit::AuditEvent;
use crate::config::{Config, StateDatabase};
use crate::model::PostgresUrl;
use crate::state::{State, StateError, check_address};
use crate::sys::account::Actor;
use crate::sys::clock::Clock;

/// What `--to` says for the file in the data directory.
const FILE: &str = "sqlite";

/// Copy the state to another database
///
/// The proxy must not run. The other database has to be empty; the state that is in use stays as it is.
/// The configuration says which one is used: this command prints the lines for it.
#[derive(Debug, clap::Args)]
pub(crate) struct StateMigrateArgs {
    /// A PostgreSQL database, as `postgresql://USER@HOST/DATABASE`, or `sqlite`: state.db in the data
    /// directory
    #[arg(long, value_name = "URL")]
    to: String,
    /// The file with the password of the PostgreSQL database, in one line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl StateMigrateArgs {
    pub(super) fn copy(&self, context: &Context) -> Result<String, Failure> {
        let failed = |error: StateError| state_failure("cannot copy the state", error);
        let database = self.database()?;
        if let Some(database) = &database {
            check_address(&database.url).map_err(failed)?;
        }
        let mut target = context.config.clone();
        target.state.database.clone_from(&database);
        let place_of = |config: &Config| config.state_place().map_err(|e| failed(e.into()));
        let place = place_of(&target)?;
        let from = open(context)?;
        if place_of(&context.config)? == place {
            return Err(Failure::new(Exit::Usage, "cannot copy the state")
                .because(format!("it is in {place} already")));
        }
        let _lock = stop_others(context, "copy")?;
        let to = State::open(&place, Clock::System).map_err(failed)?;
        let event = AuditEvent::StateCopied {
            how: "migrate",
            to: place.to_string(),
            actor: Actor::of_this_process(),
        };
        auditing::before(
            context,
            "nothing is copied: the audit log cannot say who did it",
            &event,
        )?;
        from.copy_to(&to).map_err(|error| match error {
            StateError::NotEmpty { .. } => failed(error)
                .hint("make a new database (createdb), or remove the file if nothing uses it"),
            error => failed(error),
        })?;
        let status = check(&to)?;
        let summary = summary(&status);
        ui::note(&format!(
            "hint: put this into {}, and start the proxy",
            context.config.file
        ));
        let lines = lines(database.as_ref());
        Ok(format!("Copied to {place}: {summary}\n\n{lines}"))
    }

    /// The database of PostgreSQL that `--to` names; `None` for the file.
    fn database(&self) -> Result<Option<StateDatabase>, Failure> {
        let refused = |why: &str| {
            Failure::new(Exit::Usage, "cannot use the value of --to").because(why.to_owned())
        };
        if self.to == FILE {
            return match self.password_file {
                Some(_) => Err(refused("a file of SQLite has no password")),
                None => Ok(None),
            };
        }
        let url: PostgresUrl = self.to.parse().map_err(|error| {
            Failure::new(Exit::Usage, "cannot use the value of --to").because(error)
        })?;
        if url.password().is_some() {
            return Err(
                refused("others on this machine can read the arguments of a command").hint(
                    "write the password into a file that only its owner can read, and name it with \
                     --password-file",
                ),
            );
        }
        Ok(Some(StateDatabase {
            url,
            // As the configuration has it: from any directory.
            password_file: self
                .password_file
                .as_ref()
                .map(|file| std::path::absolute(file).unwrap_or_else(|_no_directory| file.clone())),
        }))
    }
}

/// What the configuration has to say.
fn lines(database: Option<&StateDatabase>) -> String {
    // A string of JSON is one of YAML.
    let quoted = |text: &str| Value::from(text).to_string();
    let Some(database) = database else {
        return "state:\n  url: \"\"\n".to_owned();
    };
    let mut lines = format!("state:\n  url: {}\n", quoted(database.url.shown()));
    if let Some(file) = &database.password_file {
        lines += &format!("  password_file: {}\n", quoted(&file.to_string_lossy()));
    }
    lines
}
