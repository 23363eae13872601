//! What a command gets in addition to its own flags.

use std::io;
use std::path::Path;

use super::{Exit, Failure};
use crate::config::{Config, Diagnostic};

/// What a command is given beside its own flags.
#[derive(Debug)]
pub(crate) struct Context {
    /// The configuration in force.
    pub(crate) config: Config,
    /// What is risky about it.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The proxy's data directory, for commands that look for what is in it: they make none.
///
/// # Errors
/// Says where it was looked for, when it is not there or out of reach.
pub(crate) fn existing_data_dir(context: &Context) -> Result<&Path, Failure> {
    let data_dir = context.config.data_dir.path();
    let why = match std::fs::metadata(data_dir) {
        Ok(metadata) if metadata.is_dir() => return Ok(data_dir),
        Ok(_) => io::ErrorKind::NotADirectory.into(),
        Err(error) => error,
    };
    let message = format!("there is no data directory {}", data_dir.display());
    Err(Failure::new(Exit::Failed, message).because(why).hint(
        "name the proxy's data directory with --data-dir or --config, and run this as the account \
         that the proxy runs as",
    ))
}
