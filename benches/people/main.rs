//! Users who sign in: a thousand at once with real connections, and the commands and a login with a large
//! state beside a small one. See `benches/README.md`.

mod crowd;
mod fill;
mod proxy;
mod stored;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Options of `cargo bench --bench people -- ...`.
#[derive(Debug, Parser)]
#[command(about = "Measure users who sign in")]
struct PeopleOptions {
    /// How many users sign in at once
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    crowd: usize,
    /// How many users the large state has; it has ten times as many lines in the ledger
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    users: usize,
    /// Also measure a state in this empty database of PostgreSQL, which the bench fills and leaves behind
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Also measure a small state in this one
    #[arg(long, value_name = "URL", requires = "postgres")]
    small_postgres: Option<String>,
    /// Only this: crowd, stored
    #[arg(long, value_name = "WHAT")]
    only: Option<String>,
    /// Another binary than the one just built
    #[arg(long, value_name = "FILE")]
    rproxy: Option<PathBuf>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&PeopleOptions::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &PeopleOptions) -> Result<()> {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_rproxy"));
    let rproxy = options.rproxy.clone().unwrap_or(built);
    let is_wanted = |what: &str| options.only.as_deref().is_none_or(|only| only == what);
    if is_wanted("crowd") {
        crowd::measure(&rproxy, options.crowd)?;
    }
    if is_wanted("stored") {
        stored::measure(&rproxy, 100, None)?;
        stored::measure(&rproxy, options.users, None)?;
        if let Some(url) = &options.small_postgres {
            stored::measure(&rproxy, 100, Some(url))?;
        }
        if let Some(url) = &options.postgres {
            stored::measure(&rproxy, options.users, Some(url))?;
        }
    }
    Ok(())
}

/// Prints a row of the table.
fn row(what: &str, value: &str) -> Result<()> {
    writeln!(std::io::stdout(), "| {what} | {value} |")?;
    Ok(())
}
